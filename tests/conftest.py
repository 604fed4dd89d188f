"""The order of the files, the long ones first, and which of them share a process.

With `--dist loadgroup` a group is tested by one worker: a file by itself, and all of those that
share one local AWS with a model of each task.
"""

import pytest

LONG = (
    "road/test_road.py",
    "tests/api/",
    "road/test_training_road.py",
    "batches/test_batches_road.py",
    "training/test_transformers5.py",
    "training/test_transformers456.py",
    "inference/test_transformers5.py",
)
SHARED = ("tests/api/",)


# First of all, since xdist reads the groups as early as it can.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((i for i, name in enumerate(LONG) if name in path), len(LONG))

    items.sort(key=place)
    for item in items:
        path = item.path.as_posix()
        shared = next((folder for folder in SHARED if folder in path), path)
        item.add_marker(pytest.mark.xdist_group(shared))
