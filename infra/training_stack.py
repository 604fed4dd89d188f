"""How models come to be: a fine-tuning pipeline and a registry for each entry of `pipelines`."""

from __future__ import annotations

import json

from aws_cdk import CfnOutput, Duration, Environment, Stack
from constructs import Construct

from infra import access
from infra.fine_tuning import FineTuning
from infra.python_function import PythonFunction
from infra.settings import Settings, pascal_case
from infra.source_bundle import source_assets
from infra.storage_stack import StorageStack

FUNCTION_SECONDS = 30


class TrainingStack(Stack):
    """Every pipeline of the stage."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        storage: StorageStack,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        sources = source_assets(
            self,
            packages=any(settings.engines_of(pipeline) for pipeline in settings.pipelines),
            with_wheels=not settings.is_local,
        )
        approved = self._approved(settings)
        for pipeline in settings.pipelines:
            FineTuning(
                self,
                pascal_case(pipeline),
                pipeline=pipeline,
                settings=settings,
                storage=storage,
                sources=sources,
                approved=approved.function,
            )
        names = {pipeline: settings.pipeline_name(pipeline) for pipeline in settings.pipelines}
        catalogue = {key: {"pipeline": name, "group": name} for key, name in names.items()}
        CfnOutput(self, "Pipelines", value=json.dumps(catalogue))

    def _approved(self, settings: Settings) -> PythonFunction:
        approved = PythonFunction(
            self,
            "Approved",
            folder="approved",
            description="tells a pipeline which version its trained model is compared with",
            settings=settings,
            timeout=Duration.seconds(FUNCTION_SECONDS),
            memory_mb=256,
            environment={"POWERTOOLS_SERVICE_NAME": "approved"},
        )
        access.grant_read_versions(approved.role, *map(settings.pipeline_name, settings.pipelines))
        return approved
