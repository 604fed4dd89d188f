"""What travels beside these scripts: inference/ and wheels/, in a folder or in the same zip."""

import os
import platform
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

RUNTIME = "onnxruntime"
# Of the runtime's wheel, what a server imports; the rest are tools.
SERVED = ("onnxruntime/__init__.py", "onnxruntime/capi/", "onnxruntime/LICENSE")
NOTICES = "onnxruntime/ThirdPartyNotices.txt"
LEFT_OUT = ("__pycache__", ".pyc")

Folder = Path | zipfile.Path


class ShippingError(ValueError):
    """Something that has to travel beside the scripts is not there."""


class _Wheel(NamedTuple):
    name: str
    python: str
    abi: str
    platform: str


def inference() -> Folder:
    """The serving code: beside this file as shipped, or in the checkout."""
    here = Path(__file__).resolve().parent
    for folder in (_inside(here, "inference"), here.parent / "inference"):
        if (folder / "inference.py").is_file():
            return folder
    raise ShippingError(
        f"no inference/inference.py in {here} or beside it: ship training/ and inference/ together"
    )


def copy_code(source: Folder, target: Path) -> None:
    """Replace `target` by a copy of the serving code."""
    shutil.rmtree(target, ignore_errors=True)
    _copy(source, target)


def unpack_runtime(code_dir: Path) -> list[str]:
    """Put ONNX Runtime for each Python that a wheel is there for below code/runtime/."""
    pythons = []
    for file in _wheels():
        wheel = _parse(file.name)
        if wheel.name != RUNTIME:
            continue
        pythons.append(wheel.python)
        with file.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            for member in sorted(archive.namelist()):
                if member.startswith(SERVED) or member == NOTICES:
                    archive.extract(member, code_dir / "runtime" / wheel.python)
    return pythons


def add_wheels_to_path() -> None:
    """Make importable what lies in wheels/ for this Python and machine, until the process ends."""
    usable = [file for file in _wheels() if _runs_here(_parse(file.name))]
    if not usable:
        return
    scratch = tempfile.mkdtemp(prefix="wheels-")
    for file in usable:
        with file.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            archive.extractall(scratch)
    # After what the image has: its own numpy and torch fit each other.
    sys.path.append(scratch)


def _wheels() -> list[Folder]:
    folder = _inside(Path(__file__).resolve().parent, "wheels")
    if not folder.is_dir():
        return []
    return sorted((f for f in folder.iterdir() if f.name.endswith(".whl")), key=lambda f: f.name)


def _inside(place: Path, name: str) -> Folder:
    if place.is_file() and zipfile.is_zipfile(place):
        return zipfile.Path(str(place), f"{name}/")
    return place / name


def _copy(source: Folder, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.name.startswith(".") or entry.name.endswith(LEFT_OUT):
            continue
        if entry.is_dir():
            _copy(entry, target / entry.name)
        else:
            (target / entry.name).write_bytes(entry.read_bytes())


def _parse(file_name: str) -> _Wheel:
    parts = file_name.removesuffix(".whl").split("-")
    return _Wheel(parts[0], parts[-3], parts[-2], parts[-1])


def _runs_here(wheel: _Wheel) -> bool:
    major, minor = sys.version_info[:2]
    fits_platform = wheel.platform == "any" or (
        os.name == "posix" and platform.machine() in wheel.platform and "linux" in wheel.platform
    )
    if not fits_platform:
        return False
    if f"py{major}" in wheel.python.split(".") or wheel.python == f"cp{major}{minor}":
        return True
    oldest = re.fullmatch(rf"cp{major}(\d+)", wheel.python)
    return wheel.abi == "abi3" and oldest is not None and int(oldest[1]) <= minor
