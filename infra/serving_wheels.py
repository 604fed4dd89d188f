"""The wheels that AWS's images lack: pinned in requirements-onnx.txt, fetched by `make setup`."""

from __future__ import annotations

import zipfile
from pathlib import Path

from infra.wheels import PROJECT, pinned_wheels

REQUIREMENTS = PROJECT / "requirements-onnx.txt"
FOLDER = PROJECT / ".venv" / "serving-wheels"
RUNTIME = "onnxruntime"


def wheels(folder: Path = FOLDER) -> dict[str, Path]:
    """The one wheel of each pin, by the distribution's name."""
    return pinned_wheels(REQUIREMENTS, folder, "the stage's ONNX engines")


def unpack_runtime(target: Path, folder: Path = FOLDER) -> None:
    """ONNX Runtime for the serving images' Python, as files that it imports from `target`."""
    with zipfile.ZipFile(wheels(folder)[RUNTIME]) as wheel:
        wheel.extractall(target)
