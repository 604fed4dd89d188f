"""Adds to a saved model what makes it a model artifact: code/ and lectern.json."""

import json
import platform
import shutil
from pathlib import Path


class ArtifactError(ValueError):
    """The model artifact cannot be completed."""


def add_code(model_dir: Path) -> None:
    """Copy inference/ to code/: from beside this file as shipped, or from the checkout."""
    here = Path(__file__).resolve().parent
    candidates = (here / "inference", here.parent / "inference")
    source = next((path for path in candidates if (path / "inference.py").is_file()), None)
    if source is None:
        raise ArtifactError(
            f"no inference/inference.py in {here} or beside it: ship training/ and inference/ "
            "together"
        )
    shutil.copytree(
        source,
        model_dir / "code",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"),
    )


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
