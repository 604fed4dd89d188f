"""The wheels that AWS's images lack: pinned in requirements-onnx.txt, fetched by `make setup`."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
REQUIREMENTS = PROJECT / "requirements-onnx.txt"
FOLDER = PROJECT / ".venv" / "serving-wheels"
RUNTIME = "onnxruntime"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!-]+)")


class MissingWheelError(Exception):
    """A pinned wheel was not fetched."""


def wheels(folder: Path = FOLDER) -> dict[str, Path]:
    """The one wheel of each pin, by the distribution's name."""
    pins = [_PIN.fullmatch(line) for line in _lines(REQUIREMENTS)]
    return {pin["name"]: _wheel(pin["name"], pin["version"], folder) for pin in pins if pin}


def unpack_runtime(target: Path, folder: Path = FOLDER) -> None:
    """ONNX Runtime for the serving images' Python, as files that it imports from `target`."""
    with zipfile.ZipFile(wheels(folder)[RUNTIME]) as wheel:
        wheel.extractall(target)


def _wheel(name: str, version: str, folder: Path) -> Path:
    # A wheel's file name has its distribution's words joined by underscores.
    found = sorted(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    if len(found) != 1:
        raise MissingWheelError(
            f"{REQUIREMENTS.name}: got {len(found)} wheels of {name}=={version}, needed is 1 for "
            "the stage's ONNX engines: run `make setup`"
        )
    return found[0]


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
