"""The instance types of SageMaker that the images can run on, by what they are used for.

x86 and Nvidia only: Graviton has no Hugging Face image, Inferentia and Trainium need their own.
"""

from __future__ import annotations

import re

_XEON = "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"
_XEON_6I = f"{_XEON} 32xlarge"
_XEON_7I = f"{_XEON} 48xlarge"
_XEON_8I = f"{_XEON} 32xlarge 48xlarge 96xlarge"
_LEGACY_C4 = "xlarge 2xlarge 4xlarge 8xlarge"
_LEGACY_M4 = "xlarge 2xlarge 4xlarge 10xlarge 16xlarge"
_C5 = "xlarge 2xlarge 4xlarge 9xlarge 18xlarge"
_M5 = "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge"
_G4 = "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"
_G5 = f"{_G4} 24xlarge 48xlarge"
_G7 = "2xlarge 4xlarge 8xlarge 12xlarge 24xlarge 48xlarge"

# The serving image holds CUDA 12.4, which does not know Blackwell (g7, g7e, p6).
HOSTING = {
    "c4": f"large {_LEGACY_C4}",
    "c5": "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge",
    "c5d": f"large {_C5}",
    "c6i": _XEON_6I,
    "c7i": _XEON_7I,
    "g4dn": _G4,
    "g5": _G5,
    "g6": _G5,
    "g6e": _G5,
    "m4": _LEGACY_M4,
    "m5": _XEON,
    "m5d": _XEON,
    "m6i": _XEON_6I,
    "m7i": _XEON_7I,
    "p4d": "24xlarge",
    "p4de": "24xlarge",
    "p5": "4xlarge 48xlarge",
    "p5en": "48xlarge",
    "r5": _XEON,
    "r5d": "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge",
    "r6i": _XEON_6I,
    "r7i": _XEON_7I,
    "t2": "medium large xlarge 2xlarge",
    "t3": "medium large xlarge 2xlarge",
}
TRANSFORM = {
    "c4": _LEGACY_C4,
    "c5": _C5,
    "c6i": _XEON_6I,
    "c7i": _XEON_7I,
    "g4dn": _G4,
    "g5": _G5,
    "g6": _G5,
    "g6e": _G5,
    "m4": _LEGACY_M4,
    "m5": _M5,
    "m6i": _XEON_6I,
    "m7i": _XEON_7I,
    "r5": _XEON,
    "r6i": _XEON_6I,
    "r7i": _XEON_7I,
    "t3": "large xlarge 2xlarge",
}
PROCESSING = {
    "c4": _LEGACY_C4,
    "c5": _C5,
    "c6i": _XEON_6I,
    "c7i": _XEON_7I,
    "c8i": "32xlarge 48xlarge 96xlarge",
    "g4dn": _G4,
    "g5": _G5,
    "g6": _G5,
    "g6e": _G5,
    "m4": _LEGACY_M4,
    "m5": _M5,
    "m6i": _XEON_6I,
    "m7i": _XEON_7I,
    "m8i": _XEON_8I,
    "p5": "4xlarge",
    "r5": _XEON,
    "r5d": _XEON,
    "r6i": _XEON_6I,
    "r7i": _XEON_7I,
    "r8i": _XEON_8I,
    "t3": "medium large xlarge 2xlarge",
}
# GPU only: there is no Hugging Face training image for CPU.
TRAINING = {
    "g4dn": _G4,
    "g5": _G5,
    "g6": _G5,
    "g6e": _G5,
    "g7": _G7,
    "g7e": _G7,
    "p3": "2xlarge 8xlarge 16xlarge",
    "p3dn": "24xlarge",
    "p4d": "24xlarge",
    "p4de": "24xlarge",
    "p5": "4xlarge 48xlarge",
    "p5e": "48xlarge",
    "p5en": "48xlarge",
    "p6-b200": "48xlarge",
    "p6-b300": "48xlarge",
}
# Where there is more than one; of g7 as of g7e.
_G5_GPUS = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}
_G7_GPUS = {"12xlarge": 2, "24xlarge": 4, "48xlarge": 8}
_P4_GPUS = {"24xlarge": 8}
_P5_GPUS = {"48xlarge": 8}
GPUS = {
    "g4dn": {"12xlarge": 4},
    **dict.fromkeys(("g5", "g6", "g6e"), _G5_GPUS),
    **dict.fromkeys(("g7", "g7e"), _G7_GPUS),
    "p3": {"8xlarge": 4, "16xlarge": 8},
    **dict.fromkeys(("p3dn", "p4d", "p4de"), _P4_GPUS),
    **dict.fromkeys(("p5", "p5e", "p5en", "p6-b200", "p6-b300"), _P5_GPUS),
}
_SHAPE = re.compile(r"ml\.(?P<family>[a-z0-9-]+)\.(?P<size>[a-z0-9]+)")


def known(table: dict[str, str]) -> list[str]:
    """Every instance type of one of the tables above."""
    return [f"ml.{family}.{size}" for family, sizes in table.items() for size in sizes.split()]


def family_of(instance_type: str) -> str:
    """`g4dn` of `ml.g4dn.xlarge`; the empty text where the shape is another."""
    shape = _SHAPE.fullmatch(instance_type)
    return shape["family"] if shape else ""


def has_gpu(instance_type: str) -> bool:
    """Whether the machine has an Nvidia GPU."""
    return family_of(instance_type)[:1] in {"g", "p"}


def gpus(instance_type: str) -> int:
    """How many Nvidia GPUs the machine has."""
    size = instance_type.rpartition(".")[2]
    return GPUS.get(family_of(instance_type), {}).get(size, int(has_gpu(instance_type)))


def takes_volume_key(instance_type: str) -> bool:
    """Whether SageMaker accepts a volume key: not where the disk is the machine's own NVMe."""
    family = family_of(instance_type)
    return "d" not in family and not family.startswith(("g5", "g6", "g7", "p5", "p6"))


def is_arm(family: str) -> bool:
    """Whether the machine has a Graviton processor, as c7g, m6gd and g5g do."""
    return re.fullmatch(r"[a-z]+\d+g[a-z]*", family) is not None
