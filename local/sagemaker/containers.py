"""What a container is on this machine: a known image, rewritten paths, an environment."""

from __future__ import annotations

import os
import re
import sys
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from local.sagemaker.errors import ValidationException
from local.sagemaker.host import Host

TRAINING_REPOSITORY = "huggingface-pytorch-training"
INFERENCE_REPOSITORY = "huggingface-pytorch-inference"

_ML = re.compile(r"(?<![\w.-])/opt/ml(?![\w-])")
_PYTHON = re.compile(r"^(/usr(/local)?/bin/)?python(3(\.\d+)?)?$")
_INHERITED = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
)


class Container:
    """One container's view of the machine: `/opt/ml` under its own directory."""

    def __init__(self, host: Host, directory: Path, *, isolated: bool) -> None:
        self._host = host
        self._isolated = isolated
        self.directory = directory
        self.ml = directory / "opt" / "ml"

    def rewritten(self, text: str) -> str:
        """The text with every `/opt/ml` moved under this container's directory."""
        return _ML.sub(lambda _: str(self.ml), text)

    def path(self, inside: str) -> Path:
        """Where a path below `/opt/ml` lies on this machine."""
        path = Path(os.path.normpath(self.rewritten(inside)))
        if not path.is_relative_to(self.ml):
            raise ValidationException(f"{inside} is not under /opt/ml: use a path below /opt/ml")
        return path

    def command(self, words: list[str]) -> list[str]:
        """The words as this machine runs them; python is the interpreter of this process."""
        rewritten = [self.rewritten(word) for word in words]
        if _PYTHON.match(rewritten[0]):
            rewritten[0] = sys.executable
        return rewritten

    def environment(self, *layers: dict[str, str]) -> dict[str, str]:
        """The variables the container sees; later layers win."""
        found = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        found["PATH"] = os.pathsep.join(
            [
                str(interpreter_directory(self._host.directory)),
                str(Path(sys.executable).parent),
                os.environ.get("PATH", os.defpath),
            ]
        )
        found["PYTHONUNBUFFERED"] = "1"
        found["TOKENIZERS_PARALLELISM"] = "false"
        # Jobs and endpoints share these cores; spinning threads would starve one another.
        found["OMP_WAIT_POLICY"] = "PASSIVE"
        if self._isolated:
            found["HF_HUB_OFFLINE"] = "1"
        else:
            found |= self._host.cloud.credentials()
        for layer in layers:
            found |= {name: self.rewritten(value) for name, value in layer.items()}
        return found


def check_image(image: str, *repositories: str) -> str:
    """The repository of the image; refuses images that do not run on this machine."""
    repository = image.split("@")[0].rsplit("/", 1)[-1].split(":")[0]
    if repository not in repositories:
        raise ValidationException(
            f"image {image!r} does not run on the local AWS here: use a tag of "
            f"{' or '.join(repositories)}, which run with this machine's Python"
        )
    return repository


def check_one_instance(count: int | None) -> None:
    if count is not None and count > 1:
        raise ValidationException(
            f"InstanceCount {count}: the local AWS is one machine: use InstanceCount 1"
        )


def unmet_requirements(file: Path) -> list[str]:
    """The lines of a requirements file that the installed packages do not satisfy."""
    if not file.is_file():
        return []
    lines = (line.split(" #")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#") and not _is_met(line)]


def requirements_fault(file: Path) -> str | None:
    """Why the container cannot start with this requirements file, None if it can."""
    unmet = unmet_requirements(file)
    if not unmet:
        return None
    return (
        f"{file.name}: {', '.join(unmet)} not installed on this machine: the local AWS installs "
        f"nothing, so install it into the environment of {sys.executable} or drop the line"
    )


def interpreter_directory(directory: Path) -> Path:
    """A directory whose `python` and `python3` are the interpreter of this process."""
    names = directory / "bin"
    if not names.is_dir():
        names.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        script = names / name
        text = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
        if not script.is_file() or script.read_text() != text:
            # Jobs that start at the same moment each write their own.
            draft = names / f".{name}.{uuid.uuid4().hex}"
            draft.write_text(text)
            draft.chmod(0o755)
            draft.replace(script)
    return names


def _is_met(line: str) -> bool:
    try:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
        installed = version(requirement.name)
    except (InvalidRequirement, PackageNotFoundError):
        return False
    return requirement.url is None and requirement.specifier.contains(installed, prereleases=True)
