"""Lambda code without Docker and without a network: a function's folder and what it requires.

Pure Python distributions come out of this environment, compiled ones out of wheels for Lambda's
machines. On the local AWS functions run in this environment, which has the compiled ones.
"""

from __future__ import annotations

import importlib.metadata
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from infra.archives import files_below, write_zip
from infra.wheels import PROJECT, pinned_wheels

FUNCTIONS = PROJECT / "lambda"
COMPILED = PROJECT / "requirements-functions.txt"
COMPILED_WHEELS = PROJECT / ".venv" / "function-wheels"
_REQUIREMENTS = re.compile(r"requirements(-[a-z]+)?\.txt")
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!-]+)")


class BundleError(Exception):
    """A function cannot be bundled from this environment."""


@contextmanager
def function_zip(
    function: str, *, extras: Sequence[str] = (), with_compiled: bool = True
) -> Iterator[str]:
    """The path of a zip of `lambda/<function>/` with its requirements beside the handler.

    An extra `x` brings what `requirements-x.txt` names too.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, f"{function}.zip")
        files = bundle_files(FUNCTIONS / function, extras=extras)
        if with_compiled:
            files |= _compiled_files(FUNCTIONS / function, extras, Path(folder, "wheels"))
        write_zip(target, files)
        yield str(target)


def bundle_files(folder: Path, *, extras: Sequence[str] = ()) -> dict[str, Path]:
    """Every file of the bundle but compiled ones, by its name in it; the function's own win."""
    own = files_below(folder)
    own = {name: path for name, path in own.items() if not _REQUIREMENTS.fullmatch(name)}
    required: dict[str, Path] = {}
    for requirement, where in _requirements(folder, extras):
        if _name(requirement, where) not in _compiled_names():
            required |= _distribution_files(requirement, where)
    return {**required, **own}


def _compiled_files(folder: Path, extras: Sequence[str], target: Path) -> dict[str, Path]:
    needed = {_name(requirement, where) for requirement, where in _requirements(folder, extras)}
    needed &= _compiled_names()
    if not needed:
        return {}
    found = pinned_wheels(COMPILED, COMPILED_WHEELS, f"the function {folder.name}")
    for name in needed:
        with zipfile.ZipFile(found[name]) as wheel:
            wheel.extractall(target)
    files = files_below(target)
    return {name: path for name, path in files.items() if ".dist-info/" not in name}


def _compiled_names() -> set[str]:
    lines = COMPILED.read_text(encoding="utf-8").splitlines()
    return {pin["name"] for line in lines if (pin := _PIN.fullmatch(line.strip()))}


def _requirements(folder: Path, extras: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each requirement, and the file that names it."""
    for name in ("requirements.txt", *(f"requirements-{extra}.txt" for extra in extras)):
        file = folder / name
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        for line in lines:
            if requirement := line.partition("#")[0].strip():
                yield requirement, f"lambda/{folder.name}/{name}"


def _name(requirement: str, where: str) -> str:
    pin = _PIN.fullmatch(requirement)
    if pin is None:
        raise BundleError(f"{where}: got {requirement!r}, allowed is an exact pin, as name==1.2.3")
    return pin["name"]


def _distribution_files(requirement: str, where: str) -> dict[str, Path]:
    name, version = _name(requirement, where), requirement.partition("==")[2]
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
