"""The code that travels to containers: `training/` and `inference/` as assets in S3."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aws_cdk.aws_s3_assets import Asset
from constructs import Construct

from infra.archives import files_below, unpack_tar_gz, write_tar_gz, write_zip
from infra.tar_asset import TarAsset

PROJECT = Path(__file__).resolve().parent.parent
TRAINING = PROJECT / "training"
INFERENCE = PROJECT / "inference"


@dataclass(frozen=True)
class SourceAssets:
    """The same scripts in the two forms that SageMaker's containers open."""

    training: TarAsset
    """A gzip tar for script mode: training/ at its root, inference/ below it."""
    processing: Asset
    """A zip that Python imports from: training/ at its root."""


def source_assets(scope: Construct) -> SourceAssets:
    """Both forms as file assets of `scope`."""
    scripts = files_below(TRAINING)
    with tempfile.TemporaryDirectory() as folder:
        tar, zipped = Path(folder, "sourcedir.tar.gz"), Path(folder, "training.zip")
        write_tar_gz(tar, {**scripts, **files_below(INFERENCE, "inference/")})
        write_zip(zipped, scripts)
        return SourceAssets(
            training=TarAsset(scope, "TrainingSource", path=str(tar)),
            processing=Asset(scope, "ProcessingSource", path=str(zipped)),
        )


def model_asset(scope: Construct, id: str, *, source: Path) -> TarAsset:
    """A model directory or model.tar.gz as a model artifact, with our serving code as code/."""
    with tempfile.TemporaryDirectory() as folder:
        weights = source
        if source.is_file():
            weights = Path(folder, "unpacked")
            unpack_tar_gz(source, weights)
        artifact = Path(folder, "model.tar.gz")
        write_tar_gz(artifact, _with_serving_code(files_below(weights)))
        return TarAsset(scope, id, path=str(artifact))


def _with_serving_code(weights: Mapping[str, Path]) -> dict[str, Path]:
    own = {name: path for name, path in weights.items() if not name.startswith("code/")}
    return {**own, **files_below(INFERENCE, "code/")}
