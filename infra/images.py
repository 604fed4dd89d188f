"""The catalogue of pinned Hugging Face images, and the regions that hold them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Image:
    """One tag of one repository of AWS's Deep Learning Containers."""

    repository: str
    tag: str
    transformers: str

    def uri(self, region: str) -> str:
        """The image's address in `region`, which has to be one of REGIONS."""
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"{ACCOUNTS[region]}.dkr.ecr.{region}.{suffix}/{self.repository}:{self.tag}"


INFERENCE_GPU = Image(
    repository="huggingface-pytorch-inference",
    tag="2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04",
    transformers="4.51.3",
)
# 4.51.3 is published for GPU; the newest 4.x that AWS lists for CPU is 4.49.0.
INFERENCE_CPU = Image(
    repository="huggingface-pytorch-inference",
    tag="2.6.0-transformers4.49.0-cpu-py312-ubuntu22.04",
    transformers="4.49.0",
)
# Of both, as wheels call it.
INFERENCE_PYTHON = "cp312"
TRAINING = Image(
    repository="huggingface-pytorch-training",
    tag="2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04",
    transformers="4.56.2",
)

_USUAL_ACCOUNT = "763104351884"
_USUAL_REGIONS = (
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
)
# Regions that hold both the training and the inference repository.
ACCOUNTS: dict[str, str] = {
    **dict.fromkeys(_USUAL_REGIONS, _USUAL_ACCOUNT),
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-northeast-3": "364406365360",
    "ap-southeast-3": "907027046896",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-south-1": "692866216735",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
}
# No training images there, so a model can be served but not fine-tuned.
INFERENCE_ONLY_ACCOUNTS: dict[str, str] = {
    "ap-south-2": "772153158452",
    "ap-southeast-4": "457447274322",
    "eu-central-2": "380420809688",
    "eu-south-2": "503227376785",
}
ACCOUNTS |= INFERENCE_ONLY_ACCOUNTS
REGIONS = tuple(sorted(ACCOUNTS))


def inference_image(*, gpu: bool) -> Image:
    """The serving image for a machine with or without a GPU; processing jobs run in it too."""
    return INFERENCE_GPU if gpu else INFERENCE_CPU


def repository_arn(region: str, partition: str, image: Image) -> str:
    """The repository that roles pull `image` from."""
    return f"arn:{partition}:ecr:{region}:{ACCOUNTS[region]}:repository/{image.repository}"
