"""Model data: from the artifact in S3 to the directory that is served."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from local.sagemaker.transfer import Bucket, NothingFound, unpack


class NotServable(Exception):
    """The model data is missing or is not what it must be."""


def stage_model_data(s3: Bucket, container: dict[str, Any], directory: Path) -> None:
    """Fills the directory with the container's model data, if it has any."""
    if "ModelDataUrl" in container:
        _unpack_object(s3, container["ModelDataUrl"], directory)
        return
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        return
    uri: str = source["S3Uri"]
    if source["S3DataType"] == "S3Object" and source["CompressionType"] == "Gzip":
        _unpack_object(s3, uri, directory)
        return
    try:
        if source["S3DataType"] == "S3Object":
            s3.download_object(uri, directory / uri.rsplit("/", 1)[-1])
        else:
            s3.download(uri, directory)
    except NothingFound:
        raise _missing(uri) from None


def _unpack_object(s3: Bucket, uri: str, directory: Path) -> None:
    archive = directory.with_name("model.tar.gz")
    try:
        s3.download_object(uri, archive)
        unpack(archive, directory)
    except NothingFound:
        raise _missing(uri) from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise NotServable(
            f'Failed to extract model data archive from URL "{uri}": {error}. Please ensure '
            "that the object located at the URL is a valid tar.gz archive."
        ) from None
    archive.unlink()


def _missing(uri: str) -> NotServable:
    return NotServable(f"Could not find model data at {uri}.")
