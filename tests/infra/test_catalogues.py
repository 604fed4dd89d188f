"""The tables of images and instance types, against what AWS's own models list."""

from __future__ import annotations

import gzip
import json
import re
from importlib.resources import files

import pytest

from infra import images, instance_types
from infra.serving_wheels import wheels


def listed_by_cfn_lint(purpose: str) -> set[str]:
    folder = files("cfnlint") / "data/schemas/extensions" / f"aws_sagemaker_{purpose}"
    regions = json.loads((folder / "instancetype_enum.json").read_text(encoding="utf-8"))
    return {kind for one in regions.values() if isinstance(one, dict) for kind in one["enum"]}


def listed_for_training() -> set[str]:
    model = files("botocore") / "data/sagemaker/2017-07-24/service-2.json.gz"
    shapes = json.loads(gzip.decompress(model.read_bytes()))["shapes"]
    return set(shapes["TrainingInstanceType"]["enum"])


@pytest.mark.parametrize(
    ("table", "listed"),
    [
        (instance_types.HOSTING, listed_by_cfn_lint("hosting")),
        (instance_types.TRANSFORM, listed_by_cfn_lint("transform")),
        (instance_types.PROCESSING, listed_by_cfn_lint("processing")),
        (instance_types.TRAINING, listed_for_training()),
    ],
    ids=["hosting", "transform", "processing", "training"],
)
def test_every_type_that_settings_may_name_is_one_of_sagemakers(table, listed):
    assert set(instance_types.known(table)) - listed == set()
    families = {kind.split(".")[1] for kind in listed}
    for family in table:
        sizes = {kind for kind in listed if kind.split(".")[1] == family}
        missing = sizes - set(instance_types.known({family: table[family]}))
        assert not missing or family == "t3", f"{family} has {missing} as well"
    assert not {f for f in families & set(table) if instance_types.is_arm(f)}


def test_training_types_all_have_a_gpu():
    assert all(
        instance_types.has_gpu(kind) for kind in instance_types.known(instance_types.TRAINING)
    )


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("ml.m5.24xlarge", 0),
        ("ml.g4dn.16xlarge", 1),
        ("ml.g4dn.12xlarge", 4),
        ("ml.g5.16xlarge", 1),
        ("ml.g5.48xlarge", 8),
        ("ml.g6e.24xlarge", 4),
        ("ml.p3.2xlarge", 1),
        ("ml.p3.16xlarge", 8),
        ("ml.p4d.24xlarge", 8),
        ("ml.p5.4xlarge", 1),
        ("ml.p6-b200.48xlarge", 8),
    ],
)
def test_the_gpus_of_a_machine_are_known(kind, count):
    assert instance_types.gpus(kind) == count


def test_each_machine_that_is_said_to_have_several_gpus_is_one_that_trains():
    several = {
        k for k in instance_types.known(instance_types.TRAINING) if instance_types.gpus(k) > 1
    }
    listed = {
        f"ml.{family}.{size}" for family, sizes in instance_types.GPUS.items() for size in sizes
    }
    assert listed == several


@pytest.mark.parametrize(
    ("kind", "takes"),
    [
        ("ml.m5.large", True),
        ("ml.c6i.xlarge", True),
        ("ml.p3.2xlarge", True),
        ("ml.m5d.large", False),
        ("ml.g4dn.xlarge", False),
        ("ml.g5.xlarge", False),
        ("ml.g6e.xlarge", False),
        ("ml.p4d.24xlarge", False),
    ],
)
def test_machines_with_disks_of_their_own_take_no_volume_key(kind, takes):
    assert instance_types.takes_volume_key(kind) is takes


def test_an_image_is_addressed_in_the_region_that_runs_it():
    uri = images.INFERENCE_GPU.uri("ap-east-1")
    assert uri == (
        "871362719292.dkr.ecr.ap-east-1.amazonaws.com/huggingface-pytorch-inference:"
        "2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"
    )
    assert images.TRAINING.uri("cn-north-1").startswith(
        "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/huggingface-pytorch-training:"
    )


@pytest.mark.parametrize("image", [images.INFERENCE_CPU, images.INFERENCE_GPU])
def test_wheels_are_for_the_python_and_the_c_library_of_the_serving_images(image):
    python = re.search(r"-(py\d+)-", image.tag)[1]
    assert python.replace("py", "cp") == images.INFERENCE_PYTHON
    # Ubuntu 22.04 has glibc 2.35.
    assert image.tag.endswith("-ubuntu22.04")
    for name, wheel in wheels().items():
        _, _, interpreter, abi, platforms = wheel.stem.split("-")
        assert abi in (images.INFERENCE_PYTHON, "abi3"), name
        assert interpreter <= images.INFERENCE_PYTHON, name
        assert re.fullmatch(r"manylinux(2014|_2_\d\d)_x86_64", platforms.split(".")[0]), name


@pytest.mark.parametrize("image", [images.INFERENCE_CPU, images.INFERENCE_GPU, images.TRAINING])
def test_tags_hold_the_full_version_of_transformers(image):
    assert f"-transformers{image.transformers}-" in image.tag
    assert image.transformers.count(".") == 2
