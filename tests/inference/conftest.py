"""The handler's modules by their plain names, as they are in a container, and a tiny model."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "inference")]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    from tests.inference import tiny

    return tiny.classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def model(model_dir):
    from inference import model_fn

    return model_fn(str(model_dir))
