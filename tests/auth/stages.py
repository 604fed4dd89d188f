"""The CDK app of these tests: a stage for each file of a folder, so that one start serves them all."""

from __future__ import annotations

from pathlib import Path

from app import project_app
from infra.api_stack import ApiStack
from infra.batch_stack import BatchStack
from infra.inference_stack import InferenceStack
from infra.stage_file import read_settings
from infra.storage_stack import StorageStack


def main() -> None:
    app = project_app()
    for folder in sorted(Path(app.node.get_context("stages")).iterdir()):
        settings = read_settings("local", stages=str(folder))
        storage = StorageStack(app, settings.stack_name("storage"), settings=settings)
        batch = BatchStack(app, settings.stack_name("batch"), settings=settings, storage=storage)
        inference = InferenceStack(
            app, settings.stack_name("inference"), settings=settings, storage=storage
        )
        ApiStack(
            app,
            settings.stack_name("api"),
            settings=settings,
            storage=storage,
            inference=inference,
            batch=batch,
        )
    app.synth()


if __name__ == "__main__":
    main()
