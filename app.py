"""Reads the stage's settings and wires the stacks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import aws_cdk as cdk

from infra.api_stack import ApiStack
from infra.batch_stack import BatchStack
from infra.faults import SettingsError
from infra.inference_stack import InferenceStack
from infra.lambda_bundle import BundleError
from infra.release_stack import ReleaseStack
from infra.stage_file import read_settings
from infra.storage_stack import StorageStack
from infra.training_stack import TrainingStack
from infra.wheels import MissingWheelError

PROJECT = Path(__file__).resolve().parent


def build(app: cdk.App) -> None:
    """Every stack of the stage that the app's context names, by a file in the folder it names."""
    settings = read_settings(app.node.get_context("stage"), stages=app.node.get_context("stages"))
    storage = StorageStack(app, settings.stack_name("storage"), settings=settings)
    if settings.pipelines:
        TrainingStack(app, settings.stack_name("training"), settings=settings, storage=storage)
    inference = InferenceStack(
        app, settings.stack_name("inference"), settings=settings, storage=storage
    )
    if inference.releases:
        ReleaseStack(app, settings.stack_name("release"), settings=settings, inference=inference)
    batch = BatchStack(app, settings.stack_name("batch"), settings=settings, storage=storage)
    ApiStack(
        app,
        settings.stack_name("api"),
        settings=settings,
        storage=storage,
        inference=inference,
        batch=batch,
    )


def project_app(*, outdir: str | None = None, validation: bool = False, **context: str) -> cdk.App:
    """An app with cdk.json's context, which only the CLI reads by itself, beneath `context`."""
    defaults = json.loads((PROJECT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return cdk.App(
        context={**defaults, **context},
        outdir=outdir,
        analytics_reporting=False,
        # Costs more than all the rest together; `python -m infra.check` runs it.
        builtin_cloud_formation_validation=validation,
    )


if __name__ == "__main__":
    app = project_app()
    try:
        build(app)
    except (SettingsError, BundleError, MissingWheelError) as error:
        sys.exit(str(error))
    app.synth()
