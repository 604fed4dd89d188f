"""What AWS would refuse twenty minutes into a deployment, as types that settings are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from infra import images, instance_types, tasks
from infra.faults import choices

# A transform job holds this many megabytes of requests at a time.
MAX_TRANSFORM_MB_IN_FLIGHT = 100


def _refusal(allowed: str) -> PydanticCustomError:
    # The value itself is put in by whoever words the fault for the file.
    return PydanticCustomError("refused", "{allowed}", {"allowed": allowed})


def _project_name(name: str) -> str:
    if name.startswith(("aws", "ssm")):
        raise _refusal("allowed is a name that does not begin with aws or ssm, AWS's own prefixes")
    return name


def _region(region: str) -> str:
    if region not in images.ACCOUNTS:
        regions = ", ".join(images.REGIONS)
        raise _refusal(f"allowed are {regions}: only these hold the Hugging Face images")
    return region


def _task(task: str) -> str:
    if not tasks.is_known(task):
        raise _refusal(f"allowed are {', '.join(tasks.TASKS)} or translation_xx_to_yy")
    return task


def _instance_type(purpose: str, table: Mapping[str, str]) -> Callable[[str], str]:
    def check(given: str) -> str:
        family, size = instance_types.family_of(given), given.rpartition(".")[2]
        if family not in table:
            families = ", ".join(sorted(table))
            reason = _why_not(given, family, purpose)
            raise _refusal(f"allowed for {purpose} are types of the families {families}{reason}")
        if size not in table[family].split():
            types = [f"ml.{family}.{size}" for size in table[family].split()]
            raise _refusal(f"allowed types of {family} for {purpose} are {choices(types)}")
        return given

    return check


def _why_not(given: str, family: str, purpose: str) -> str:
    if not given.startswith("ml."):
        return ": SageMaker's types begin with ml."
    if family.startswith(("inf", "trn")):
        return ": the images are for x86 processors and Nvidia GPUs"
    if instance_types.is_arm(family):
        return ": the images are for x86 processors"
    if purpose == "training":
        return ": the Hugging Face training image needs an Nvidia GPU"
    if family.startswith(("g7", "p6")):
        return ": the image's CUDA 12.4 does not know this GPU"
    return ""


NotReserved = AfterValidator(_project_name)
Region = Annotated[str, AfterValidator(_region)]
Task = Annotated[
    str,
    AfterValidator(_task),
    WithJsonSchema({"anyOf": [{"enum": list(tasks.TASKS)}, {"pattern": f"^{tasks.TRANSLATION}$"}]}),
]
HostingType = Annotated[str, AfterValidator(_instance_type("hosting", instance_types.HOSTING))]
TransformType = Annotated[
    str, AfterValidator(_instance_type("transform", instance_types.TRANSFORM))
]
ProcessingType = Annotated[
    str, AfterValidator(_instance_type("processing", instance_types.PROCESSING))
]
TrainingType = Annotated[str, AfterValidator(_instance_type("training", instance_types.TRAINING))]
