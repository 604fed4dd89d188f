"""The files of rows that a run is given: each in its split, uploaded once under their digest."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from botocore.exceptions import ClientError

from lectern.deployment import Client, Deployment
from lectern.faults import UsageError

# The names by which Prepare tells the split of a file, and the ending that it drops.
SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}$")


def given_rows(data: Path, *, validation: Path | None, test: Path | None) -> dict[str, Path]:
    """The files by the name they get below the data's prefix; raises where a split has two."""
    held_out = {"validation": validation, "test": test}
    named = {split: path for split, path in held_out.items() if path is not None}
    files = _training(data, named)
    for split, path in named.items():
        files |= {f"{split}/{name}": file for name, file in _files(f"--{split}", path).items()}
    return files


def upload(deployment: Deployment, pipeline: str, files: dict[str, Path]) -> str:
    """Put the files under their common digest, once; returns the prefix as an S3 URI."""
    digest = hashlib.sha256()
    for relative, path in sorted(files.items()):
        with path.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{relative}\0{content}\n".encode())
    bucket = deployment.outputs("storage")["DataBucketName"]
    prefix = f"pipelines/{pipeline}/data/{digest.hexdigest()[:16]}"
    s3 = deployment.client("s3")
    for relative, path in files.items():
        if not _exists(s3, bucket, f"{prefix}/{relative}"):
            s3.upload_file(str(path), bucket, f"{prefix}/{relative}")
    return f"s3://{bucket}/{prefix}/"


def _training(data: Path, named: dict[str, Path]) -> dict[str, Path]:
    if data.is_file():
        # What is given as the training rows is no other split, whatever the file's name says.
        keep = split_of(data.name) is None and not named
        return {data.name if keep else f"train/{data.name}": data}
    files: dict[str, Path] = {}
    for relative, path in _files("--data", data).items():
        split = split_of(relative)
        if split in named:
            raise UsageError(
                f"--{split}: {named[split]}, but --data has rows of that split too "
                f"({relative}): give one of them"
            )
        files[f"train/{relative}" if named and split is None else relative] = path
    return files


def split_of(relative: str) -> str | None:
    """The split that the outermost folder of such a name says, else the file's stem, as in Prepare.

    None where neither names one.
    """
    path = PurePosixPath(relative)
    places = [place.lower() for place in (*path.parts[:-1], PART.sub("", path.stem))]
    return next((SPLITS[place] for place in places if place in SPLITS), None)


def _files(option: str, given: Path) -> dict[str, Path]:
    if given.is_file():
        return {given.name: given}
    found = {
        path.relative_to(given).as_posix(): path
        for path in sorted(given.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    if not found:
        raise UsageError(f"{option}: a file, or a directory with files, got {given}")
    return found


def _exists(s3: Client, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        # 403 is S3's word for "missing" to whoever may not list the bucket.
        if error.response["Error"]["Code"] in ("404", "403", "NoSuchKey"):
            return False
        raise
    return True
