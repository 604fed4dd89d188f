"""A model artifact: unpacks one, and writes the record that makes a saved model one."""

import json
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path


def unpack(archive: Path, target: Path) -> None:
    """Unpack a model.tar.gz that a job of ours wrote."""
    # Python before 3.11.4 has no extraction filter.
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as tar:
        tar.extractall(target, **safely)  # noqa: S202


def write_record(
    model_dir: Path, *, base: Mapping[str, object], data: Mapping[str, object], **members: object
) -> None:
    """Write lectern.json: where this model comes from, how it was trained and how good it was.

    `base` may hold `continued_from`, which gets a place of its own.
    """
    import torch
    import transformers

    continued = {"continued_from": base["continued_from"]} if "continued_from" in base else {}
    record = {
        "task": "text-classification",
        "base": {"id": base["id"], "revision": base["revision"]},
        **continued,
        "data": data,
        **members,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    (model_dir / "lectern.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
