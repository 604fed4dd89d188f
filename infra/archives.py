"""Archives that are the same bytes for the same files: sorted names, no owners, no clocks."""

from __future__ import annotations

import gzip
import posixpath
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

_OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_IGNORED = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".DS_Store")


def files_below(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Every file of `folder` by its name in an archive, without caches and compiled files."""
    return {
        f"{prefix}{path.relative_to(folder).as_posix()}": path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(part in _IGNORED for part in path.relative_to(folder).parts)
    }


def write_tar_gz(target: Path, files: Mapping[str, Path]) -> None:
    """A gzip tar of `files` (name in the archive: file on disk)."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=6) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)


def write_zip(target: Path, files: Mapping[str, Path]) -> None:
    """A zip of `files` (name in the archive: file on disk)."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _OLDEST_ZIP_TIME)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            # A wheel is compressed already, and weights hardly get smaller.
            dense = path.suffix in {".whl", ".safetensors"}
            entry.compress_type = zipfile.ZIP_STORED if dense else zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes(), compresslevel=6)


def tar_gz_names(source: Path) -> set[str]:
    """The files of a gzip tar, by their names in it."""
    with tarfile.open(source, "r:gz") as archive:
        return {posixpath.normpath(entry.name) for entry in archive if entry.isfile()}


def unpack_tar_gz(source: Path, folder: Path) -> None:
    """The files of a gzip tar, in `folder`."""
    # Python before 3.11.4 has no extraction filter; the archive is the user's own model.
    extract = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(source, "r:gz") as archive:
        archive.extractall(folder, **extract)  # type: ignore[arg-type]  # noqa: S202
