"""The order of the files, the long ones first, and which of them one worker tests."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

LONG = (
    "road/test_road.py",
    "tests/api/",
    "road/test_training_road.py",
    "batches/test_batches_road.py",
    "training/test_transformers5.py",
    "training/test_transformers456.py",
    "inference/test_transformers5.py",
    "tests/functions/",
    "inference/test_equality_",
)
# What shares a local AWS, or models and their answers, that take long to make.
SHARED = ("tests/api/", "tests/functions/", "tests/inference/test_equality_")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((i for i, name in enumerate(LONG) if name in path), len(LONG))

    items.sort(key=place)


class ByFileOrFolder(LoadFileScheduling):  # type: ignore[misc]
    """A file goes to one worker whole, and so do all files that share something."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((shared for shared in SHARED if file.startswith(shared)), file)


# Only where tests are given to workers: xdist's own hook.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFileOrFolder:
    return ByFileOrFolder(config, log)
