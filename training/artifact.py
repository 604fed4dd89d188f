"""A model artifact: unpacks one, and writes the record that makes a saved model one."""

import json
import platform
import tarfile
from pathlib import Path


def unpack(archive: Path, target: Path) -> None:
    """Unpack a model.tar.gz that a job of ours wrote."""
    # Python before 3.11.4 has no extraction filter.
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as tar:
        tar.extractall(target, **safely)  # noqa: S202


def write_record(
    model_dir: Path,
    *,
    base: dict[str, str],
    dataset: dict[str, object],
    hyperparameters: dict[str, object],
    metrics: dict[str, float],
) -> None:
    """Write lectern.json: where this model comes from and how good it was on validation rows."""
    import torch
    import transformers

    record = {
        "task": "text-classification",
        "base": base,
        "data": {"digest": dataset["digest"], "rows": dataset["rows"], "labels": dataset["labels"]},
        "hyperparameters": hyperparameters,
        "metrics": metrics,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    (model_dir / "lectern.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
