"""Opens a file as a stream of text: its encoding, its digest, lines of bounded size."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

from rows import DataError

RECORD_CHARACTERS = 1 << 20
"""The longest record: a quote that never closes, or a lost line end, must not buffer the file."""


class _Hashed(io.RawIOBase):
    """The bytes of a file, which pass through a digest as they are read."""

    def __init__(self, path: Path, digest: "hashlib._Hash") -> None:
        self._file = path.open("rb", buffering=0)
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        count = self._file.readinto(buffer) or 0
        self._digest.update(memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(
    path: Path, digest: "hashlib._Hash | None" = None, newline: str = ""
) -> io.TextIOBase:
    """Text of a UTF-8 file, or of a UTF-16 file with its mark.

    Bytes that are not UTF-8 become lone surrogates, so that only their own row is rejected.
    Raises DataError for a file that cannot be opened or that looks like UTF-16 without its mark.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
        raw = io.BufferedReader(_Hashed(path, digest or hashlib.sha256()), 1 << 16)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}: check the file") from error
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return io.TextIOWrapper(raw, encoding="utf-16", errors="replace", newline=newline)
    if head.count(0) > len(head) / 5:
        raw.close()
        raise DataError(
            f"{path.name} line 1: the encoding cannot be read, every other byte or so is 0 as in "
            "UTF-16 without its byte order mark: save the file as UTF-8"
        )
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def bounded_lines(file: io.TextIOBase) -> Iterator[str | None]:
    """Each line with its end; None for a line that is longer than a record may be."""
    while line := file.readline(RECORD_CHARACTERS):
        if len(line) < RECORD_CHARACTERS or line.endswith(("\n", "\r")):
            yield line
            continue
        while (rest := file.readline(RECORD_CHARACTERS)) and not rest.endswith(("\n", "\r")):
            pass
        yield None
