"""The code that travels to containers, as assets in S3: `training/`, `inference/`, wheels."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aws_cdk.aws_s3_assets import Asset
from constructs import Construct

from infra.archives import files_below, unpack_tar_gz, write_tar_gz, write_zip
from infra.images import INFERENCE_PYTHON
from infra.serving_wheels import unpack_runtime, wheels
from infra.tar_asset import TarAsset

PROJECT = Path(__file__).resolve().parent.parent
TRAINING = PROJECT / "training"
INFERENCE = PROJECT / "inference"


@dataclass(frozen=True)
class SourceAssets:
    """The same scripts in the forms that SageMaker's containers open."""

    training: TarAsset
    """A gzip tar for script mode: training/ at its root, inference/ below it."""
    processing: Asset
    """A zip that Python imports from: training/ at its root."""
    packaging: Asset | None
    """Such a zip with inference/ and wheels/ below, where a pipeline packages its models."""


def source_assets(scope: Construct, *, packages: bool, with_wheels: bool) -> SourceAssets:
    """Every form as a file asset of `scope`."""
    scripts = files_below(TRAINING)
    with tempfile.TemporaryDirectory() as folder:
        tar, zipped = Path(folder, "sourcedir.tar.gz"), Path(folder, "training.zip")
        write_tar_gz(tar, {**scripts, **files_below(INFERENCE, "inference/")})
        write_zip(zipped, scripts)
        return SourceAssets(
            training=TarAsset(scope, "TrainingSource", path=str(tar)),
            processing=Asset(scope, "ProcessingSource", path=str(zipped)),
            packaging=_packaging_asset(scope, scripts, with_wheels) if packages else None,
        )


def _packaging_asset(scope: Construct, scripts: Mapping[str, Path], with_wheels: bool) -> Asset:
    carried = wheels().values() if with_wheels else ()
    with tempfile.TemporaryDirectory() as folder:
        zipped = Path(folder, "packaging.zip")
        write_zip(
            zipped,
            {
                **scripts,
                **files_below(INFERENCE, "inference/"),
                **{f"wheels/{path.name}": path for path in carried},
            },
        )
        return Asset(scope, "PackagingSource", path=str(zipped))


def encoder_asset(scope: Construct, id: str, *, folder: Path) -> Asset:
    """A pretrained encoder of this machine as one zip, its files at the root."""
    with tempfile.TemporaryDirectory() as temporary:
        zipped = Path(temporary, "encoder.zip")
        write_zip(zipped, files_below(folder))
        return Asset(scope, id, path=str(zipped))


def model_asset(scope: Construct, id: str, *, source: Path, with_runtime: bool = False) -> TarAsset:
    """A model directory or model.tar.gz as a model artifact, with our serving code as code/.

    `with_runtime` adds ONNX Runtime to it, for images that lack it.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights = source
        if source.is_file():
            weights = Path(folder, "unpacked")
            unpack_tar_gz(source, weights)
        own = files_below(weights)
        files = {name: path for name, path in own.items() if not name.startswith("code/")}
        files |= files_below(INFERENCE, "code/")
        if with_runtime:
            runtime = Path(folder, "runtime")
            unpack_runtime(runtime)
            files |= files_below(runtime, f"code/runtime/{INFERENCE_PYTHON}/")
        artifact = Path(folder, "model.tar.gz")
        write_tar_gz(artifact, files)
        return TarAsset(scope, id, path=str(artifact))
