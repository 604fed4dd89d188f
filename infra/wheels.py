"""Wheels for other machines than this one: pinned in a file, fetched by `make setup`."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!-]+)")


class MissingWheelError(Exception):
    """A pinned wheel was not fetched."""


def pinned_wheels(requirements: Path, folder: Path, needed_for: str) -> dict[str, Path]:
    """The one wheel in `folder` of each pin of `requirements`, by the distribution's name."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    pins = [_PIN.fullmatch(line.strip()) for line in lines]
    return {
        pin["name"]: _wheel(pin["name"], pin["version"], requirements, folder, needed_for)
        for pin in pins
        if pin
    }


def _wheel(name: str, version: str, requirements: Path, folder: Path, needed_for: str) -> Path:
    # A wheel's file name has its distribution's words joined by underscores.
    found = sorted(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    if len(found) != 1:
        raise MissingWheelError(
            f"{requirements.name}: got {len(found)} wheels of {name}=={version}, needed is 1 for "
            f"{needed_for}: run `make setup`"
        )
    return found[0]
