"""S3 to directories and back, with the rules by which SageMaker lays files out."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from local.sagemaker.cloud import Cloud

_ONE_REQUEST = TransferConfig(multipart_threshold=2**32, use_threads=False)


class NothingFound(LookupError):
    """No object lies under the S3 URI."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri


@dataclass(frozen=True)
class Found:
    """One object under a URI, and its place relative to that URI."""

    bucket: str
    key: str
    relative: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Bucket:
    """Reads and writes objects by their S3 URI."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def under(self, uri: str) -> list[Found]:
        """The objects of an S3Prefix, in key order; raises NothingFound."""
        bucket, prefix = split(uri)
        found = []
        try:
            pages = self._cloud.s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            )
            for listed in pages:
                for item in listed.get("Contents", []):
                    if not item["Key"].endswith("/"):
                        found.append(Found(bucket, item["Key"], relative(item["Key"], prefix)))
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
        if not found:
            raise NothingFound(uri)
        return found

    def read(self, uri: str) -> bytes:
        """The object's bytes; raises NothingFound."""
        bucket, key = split(uri)
        try:
            body: bytes = self._cloud.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket", "404"):
                raise
            raise NothingFound(uri) from None
        return body

    def write(self, uri: str, body: bytes) -> None:
        bucket, key = split(uri)
        self._cloud.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def download(self, uri: str, directory: Path) -> None:
        """Every object of an S3Prefix, at its relative path; raises NothingFound."""
        for item in self.under(uri):
            target = inside(directory, item.relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._cloud.s3.download_file(item.bucket, item.key, str(target), Config=_ONE_REQUEST)

    def download_object(self, uri: str, target: Path) -> None:
        """Exactly this object; raises NothingFound."""
        bucket, key = split(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._cloud.s3.download_file(bucket, key, str(target), Config=_ONE_REQUEST)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket", "404"):
                raise
            raise NothingFound(uri) from None

    def upload(self, path: Path, uri: str) -> None:
        bucket, key = split(uri)
        self._cloud.s3.upload_file(str(path), bucket, key, Config=_ONE_REQUEST)

    def upload_directory(self, directory: Path, uri: str) -> None:
        """Every file of the directory under the URI, at its relative path."""
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                self.upload(path, join(uri, path.relative_to(directory).as_posix()))


def split(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri, allow_fragments=False)
    query = f"?{parts.query}" if parts.query else ""
    return parts.netloc, (parts.path + query).lstrip("/")


def join(uri: str, *names: str) -> str:
    return "/".join([uri.rstrip("/"), *names])


def relative(key: str, prefix: str) -> str:
    """Where a key lands: below its folder, or under its own name when the prefix names it."""
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    if key.startswith(folder):
        return key[len(folder) :]
    return key[prefix.rfind("/") + 1 :]


def inside(directory: Path, name: str) -> Path:
    """The path of the name below the directory; an S3 key may hold `..`, which stays out."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    return directory.joinpath(*parts)


def pack(directory: Path, archive: Path) -> None:
    """A gzipped tar whose root is the directory's content.

    Weights hardly shrink, and every reader would have to expand them: they are stored as they are.
    """
    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, arcname=path.name)


def unpack(archive: Path, directory: Path) -> None:
    """Files and directories of a gzipped tar; raises tarfile.TarError or OSError for anything else.

    Written out because Python before 3.11.4 has no extraction filter.
    """
    root = directory.resolve()
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            target = (root / member.name).resolve()
            if not target.is_relative_to(root):
                raise tarfile.TarError(f"{member.name} lies outside the archive's root")
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:
                raise tarfile.TarError(f"{member.name} is neither a file nor a directory")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)
            target.chmod(member.mode & 0o755 | 0o600)
