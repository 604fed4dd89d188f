"""What a stage file may say of how a model answers requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infra.constraints import HostingType
from infra.section import Section

Engine = Annotated[
    Literal["torch", "onnx", "onnx-int8"],
    Field(
        description="what computes the answers to requests and batches: torch; onnx, the same "
        "scores faster on a CPU; onnx-int8, faster still, where the model passed int8's gate"
    ),
]


class RealTimeEndpoint(Section):
    """Machines that wait for requests."""

    kind: Literal["real-time"] = Field(description="machines that wait for requests")
    instance_type: HostingType = Field(description="a hosting instance type, as ml.g5.xlarge")
    instances: int = Field(ge=1, le=100, description="how many machines; 2 survive a zone's outage")
    engine: Engine = "torch"


class ServerlessEndpoint(Section):
    """Capacity that comes with each request, without a GPU."""

    kind: Literal["serverless"] = Field(description="capacity that comes with each request")
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(
        description="memory of one worker; its CPU grows with it"
    )
    max_concurrency: int = Field(ge=1, le=200, description="requests served at the same time")
    engine: Engine = "torch"


class AsyncEndpoint(Section):
    """Machines that work a queue off: large inputs, long answers, answers that may wait."""

    kind: Literal["async"] = Field(description="machines that work off a queue of requests")
    instance_type: HostingType = Field(description="a hosting instance type, as ml.g5.xlarge")
    instances: int = Field(ge=1, le=100, description="how many machines; 2 survive a zone's outage")
    max_concurrent_requests: int = Field(
        # The container computes one answer at a time; what it holds besides is ready to follow.
        default=4,
        ge=1,
        le=1000,
        description="requests that one machine takes from the queue at a time",
    )
    timeout_seconds: int = Field(
        default=900, ge=1, le=3600, description="how long the container may work on one request"
    )
    engine: Engine = "torch"


class NoEndpoint(Section):
    """The model is used by batches only."""

    kind: Literal["none"] = Field(description="no endpoint: the model serves batches only")


# Endpoints on machines of their own, which can have a GPU.
OnMachines = RealTimeEndpoint | AsyncEndpoint
Endpoint = Annotated[
    RealTimeEndpoint | ServerlessEndpoint | AsyncEndpoint | NoEndpoint,
    Field(discriminator="kind"),
]
