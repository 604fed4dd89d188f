"""Lambda code without Docker and without a network: a function's folder and what it requires.

The distributions come out of this environment, so only pure Python ones may be named.
"""

from __future__ import annotations

import importlib.metadata
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from infra.archives import files_below, write_zip

FUNCTIONS = Path(__file__).resolve().parent.parent / "lambda"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!-]+)")


class BundleError(Exception):
    """A function cannot be bundled from this environment."""


@contextmanager
def function_zip(function: str) -> Iterator[str]:
    """The path of a zip of `lambda/<function>/` with its requirements beside the handler."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, f"{function}.zip")
        write_zip(target, bundle_files(FUNCTIONS / function))
        yield str(target)


def bundle_files(folder: Path) -> dict[str, Path]:
    """Every file of the bundle by its name in it; the function's own files win."""
    own = files_below(folder)
    requirements = own.pop("requirements.txt", None)
    lines = requirements.read_text(encoding="utf-8").splitlines() if requirements else []
    required: dict[str, Path] = {}
    for line in lines:
        if requirement := line.partition("#")[0].strip():
            required |= _distribution_files(requirement, f"lambda/{folder.name}/requirements.txt")
    return {**required, **own}


def _distribution_files(requirement: str, where: str) -> dict[str, Path]:
    pin = _PIN.fullmatch(requirement)
    if pin is None:
        raise BundleError(f"{where}: got {requirement!r}, allowed is an exact pin, as name==1.2.3")
    name, version = pin["name"], pin["version"]
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise BundleError(f"{where}: {name} is not installed: pip install {requirement}") from None
    if distribution.version != version:
        raise BundleError(
            f"{where}: got {requirement}, but {distribution.version} is installed: "
            f"pip install {requirement}, or change the pin"
        )
    return {
        str(path): Path(str(distribution.locate_file(path)))
        for path in _shipped(distribution, f"{where}: {requirement}")
    }


def _shipped(distribution: importlib.metadata.Distribution, what: str) -> list[PurePosixPath]:
    wheel = distribution.read_text("WHEEL") or ""
    if "Root-Is-Purelib: true" not in wheel:
        raise BundleError(
            f"{what} holds machine code for this computer, not for Lambda's: "
            "bundle pure Python distributions only"
        )
    paths = [PurePosixPath(file) for file in distribution.files or []]
    return [
        path
        for path in paths
        if ".." not in path.parts  # scripts, which no function calls
        and path.suffix != ".pyc"
        and not path.parts[0].endswith(".dist-info")
    ]
