"""What a stage file may say: frozen models, and every name derived from them.

`python -m infra.settings --schema` prints the JSON Schema that editors use.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from infra import instance_types
from infra.api_settings import ApiSettings
from infra.constraints import NotReserved, Region, Task, TransformType
from infra.endpoint_settings import (
    AsyncEndpoint,
    Endpoint,
    NoEndpoint,
    RealTimeEndpoint,
    ServerlessEndpoint,
)
from infra.pipeline_settings import PipelineSettings
from infra.section import Section, keys_of

MAX_PROJECT_NAME, MAX_STAGE_NAME, MAX_PART_NAME = 20, 10, 31
LOCAL_STAGE = "local"
STAGE_NAME = re.compile(rf"[a-z][a-z0-9]{{0,{MAX_STAGE_NAME - 1}}}")

_WORDS = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
ProjectName = Annotated[
    str, StringConstraints(pattern=_WORDS, max_length=MAX_PROJECT_NAME), NotReserved
]
# {name}-{stage}-{model} names an endpoint: 63 characters in all.
PartName = Annotated[str, StringConstraints(pattern=_WORDS, max_length=MAX_PART_NAME)]
RetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653]


class PipelineSource(Section):
    """The newest approved version that a pipeline of this file has trained."""

    pipeline: str = Field(description="a name under pipelines")


class PathSource(Section):
    """Weights on this machine, shipped with the deployment."""

    path: str = Field(
        description="a directory with config.json and the weights, or a model.tar.gz, "
        "relative to the project"
    )


class ArtifactSource(Section):
    """A model artifact that already lies in S3."""

    artifact: Annotated[
        str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+\.tar\.gz$")
    ] = Field(description="s3://bucket/key of a model.tar.gz that holds our code/ directory")


def _source_kind(source: object) -> str | None:
    """Which one key says where the weights come from."""
    keys = keys_of(source)
    return keys.pop() if len(keys) == 1 else None


ModelSource = PipelineSource | PathSource | ArtifactSource
Source = Annotated[
    Annotated[PipelineSource, Tag("pipeline")]
    | Annotated[PathSource, Tag("path")]
    | Annotated[ArtifactSource, Tag("artifact")],
    Discriminator(_source_kind),
]


class BatchSettings(Section):
    """The machines of one batch transform job."""

    instance_type: TransformType = Field(description="a transform instance type, as ml.m5.xlarge")
    instance_count: int = Field(
        default=1, ge=1, le=100, description="machines of one batch; each takes whole files"
    )
    max_payload_mb: int = Field(
        # The answers to short lines are longer than the lines, and the container's end at 6.5 MB.
        default=1,
        ge=1,
        le=100,
        description="most megabytes of lines sent in one request",
    )
    max_concurrent_requests: int = Field(
        default=1, ge=1, le=100, description="requests that one machine works on at a time"
    )


class ModelSettings(Section):
    """One model in service."""

    task: Task = Field(description="what the model does, as the Hugging Face pipelines name it")
    source: Source = Field(description="where the weights come from: one of the three forms")
    endpoint: Endpoint = Field(description="how the model answers requests")
    batch: BatchSettings = Field(description="how the model answers batches")

    @property
    def pipeline(self) -> str | None:
        """The pipeline whose approved versions this model serves."""
        return self.source.pipeline if isinstance(self.source, PipelineSource) else None

    @property
    def engine(self) -> str:
        """What computes the model's answers."""
        return "torch" if isinstance(self.endpoint, NoEndpoint) else self.endpoint.engine

    @property
    def on_gpu(self) -> bool:
        """Whether the model's image is the one for GPUs."""
        return runs_on_gpu(self.endpoint, self.batch)


def runs_on_gpu(endpoint: Endpoint, batch: BatchSettings) -> bool:
    """Whether the one image of a model has to be the one for GPUs."""
    match endpoint:
        case RealTimeEndpoint() | AsyncEndpoint():
            return instance_types.has_gpu(endpoint.instance_type)
        case ServerlessEndpoint():
            return False
        case NoEndpoint():
            return instance_types.has_gpu(batch.instance_type)


class LogSettings(Section):
    """How long logs are kept."""

    retention_days: RetentionDays = Field(description="days that a log line is kept")


class StageFile(Section):
    """One stage: what is trained, what is served, and where."""

    name: ProjectName = Field(
        description="the project; begins the name of everything that is deployed"
    )
    region: Region = Field(description="an AWS region that holds the Hugging Face images")
    retain_data: bool = Field(
        description="keeps the key, the buckets and the logs when a stack is deleted"
    )
    models: dict[PartName, ModelSettings] = Field(
        min_length=1, description="what is served, by name; the name stands in the API's paths"
    )
    pipelines: dict[PartName, PipelineSettings] = Field(
        default_factory=dict, description="what is fine-tuned, by name"
    )
    api: ApiSettings = Field(description="the HTTP API in front of the models")
    logs: LogSettings = Field(description="how long logs are kept")


class Settings(StageFile):
    """A stage file's settings with the stage's name, and the names derived from both."""

    stage: Annotated[str, StringConstraints(pattern=rf"^{STAGE_NAME.pattern}$")] = Field(
        description="the file's name without .yaml"
    )

    @property
    def is_local(self) -> bool:
        """Whether the stage is the local AWS's, which runs all with this machine's Python."""
        return self.stage == LOCAL_STAGE

    @property
    def prefix(self) -> str:
        """What the name of everything deployed begins with."""
        return f"{self.name}-{self.stage}"

    def stack_name(self, part: str) -> str:
        """The name of the stack that holds `part`."""
        return f"{self.prefix}-{part}"

    def endpoint_name(self, model: str) -> str:
        """The name of a model's endpoint."""
        return f"{self.prefix}-{model}"

    def pipeline_name(self, pipeline: str) -> str:
        """The name of a SageMaker pipeline and of its model package group."""
        return f"{self.prefix}-{pipeline}"

    @property
    def model_parameters(self) -> str:
        """The SSM path under which each model's record stands."""
        return f"/{self.name}/{self.stage}/models/"

    def model_parameter(self, model: str) -> str:
        """The SSM parameter that records what serves as `model`."""
        return f"{self.model_parameters}{model}"

    def engines_of(self, pipeline: str) -> set[str]:
        """The ONNX engines that serve a pipeline's approved versions."""
        return {model.engine for model in self.models_of(pipeline)} - {"torch"}

    def models_of(self, pipeline: str) -> list[ModelSettings]:
        """The models that serve a pipeline's approved versions."""
        return [model for model in self.models.values() if model.pipeline == pipeline]

    @property
    def served_pipelines(self) -> list[str]:
        """The pipelines that at least one model serves."""
        return [pipeline for pipeline in self.pipelines if self.models_of(pipeline)]


def pascal_case(name: str) -> str:
    """`TicketsServerless` of `tickets-serverless`: the form of logical ids."""
    return "".join(word.capitalize() for word in name.split("-"))


def json_schema() -> str:
    """The JSON Schema of a stage file, for editors."""
    schema = StageFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] != ["--schema"]:
        sys.exit("usage: python -m infra.settings --schema > stages/schema.json")
    sys.stdout.write(json_schema())
