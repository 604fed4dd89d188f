"""The order of the files: the long ones first, so that no worker ends alone."""

import pytest

LONG = (
    "road/test_road.py",
    "road/test_training_road.py",
    "batches/test_batches_road.py",
    "training/test_transformers5.py",
    "training/test_transformers456.py",
    "inference/test_transformers5.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((i for i, name in enumerate(LONG) if path.endswith(name)), len(LONG))

    items.sort(key=place)
