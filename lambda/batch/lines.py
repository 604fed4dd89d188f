"""Reads a stream of bytes line by line, and holds no more of it than one line may be long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def read(chunks: Iterable[bytes], *, longest: int) -> Iterator[tuple[bytes, int]]:
    """Yield each line without its line feed, and how many bytes it has.

    Nothing but a line feed ends a line, and what follows the last one is a line unless it is
    nothing. A line of more than `longest` bytes comes as an empty one with its true length.
    """
    begun, length = bytearray(), 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for end in ended:
            if not length:
                yield (end if len(end) <= longest else b""), len(end)
                continue
            length += len(end)
            yield (bytes(begun + end) if length <= longest else b""), length
            begun, length = bytearray(), 0
        length += len(rest)
        if length <= longest:
            begun += rest
        else:
            begun = bytearray()
    if length:
        yield bytes(begun), length
