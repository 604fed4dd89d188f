"""Copies a base encoder into a directory: from an installed Python package, or from the Hub."""

import argparse
import hashlib
import importlib.metadata
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

# Weights only as safetensors: other formats can carry code.
WANTED = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
RECORD = "base.json"


class StageError(ValueError):
    """The encoder cannot be staged, or a staged one is not what its record says."""


def main(argv: Sequence[str] | None = None) -> dict[str, object]:
    """Fill the output directory and write base.json: id, revision, sha256 of each file."""
    args = _arguments(argv)
    if args.package:
        source, revision = find_in_package(args.package)
        return _stage(source, args.output, args.package, revision)
    with tempfile.TemporaryDirectory() as scratch:
        source = _download(args.hub, args.revision, Path(scratch))
        return _stage(source, args.output, args.hub, args.revision)


def find_in_package(package: str) -> tuple[Path, str]:
    """Return the model directory inside an installed package, and the package's version.

    The package is not imported: it may pull in libraries that this needs nothing of.
    """
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise StageError(
            f"package '{package}' is not installed: install it in the image, or use --hub"
        ) from None
    for file in distribution.files or []:
        directory = Path(str(distribution.locate_file(file))).parent
        if file.name == "config.json" and any(directory.glob("model*.safetensors")):
            return directory, distribution.version
    raise StageError(f"package '{package}' holds no config.json beside safetensors weights")


def read_record(directory: Path) -> dict[str, str] | None:
    """Return id and revision of a staged encoder, after comparing each file with its sha256."""
    path = directory / RECORD
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    for name, digest in record["files"].items():
        if not (directory / name).is_file():
            raise StageError(f"{name} of the base encoder is missing: stage it again")
        if _sha256(directory / name) != digest:
            raise StageError(f"{name} of the base encoder differs from {RECORD}: stage it again")
    return {"id": record["id"], "revision": record["revision"]}


def _download(repository: str, revision: str, scratch: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        path = snapshot_download(
            repository, revision=revision, local_dir=scratch, allow_patterns=list(WANTED)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StageError(
            f"cannot fetch '{repository}' at {revision}: {reason}: check the id, the revision, "
            "the network, and HF_TOKEN where the model is gated"
        ) from error
    return Path(path)


def _stage(source: Path, output: Path, identity: str, revision: str) -> dict[str, object]:
    names = sorted(
        path.name
        for path in source.iterdir()
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in WANTED)
    )
    needed = {
        "config.json": "config.json",
        "*.safetensors": "safetensors weights",
        "[tv]o*": "tokenizer files",
    }
    for pattern, what in needed.items():
        if not any(fnmatch(name, pattern) for name in names):
            raise StageError(f"'{identity}' at {revision} has no {what}")
    output.mkdir(parents=True, exist_ok=True)
    files = {}
    for name in names:
        shutil.copyfile(source / name, output / name)
        files[name] = _sha256(output / name)
    record: dict[str, object] = {"id": identity, "revision": revision, "files": files}
    (output / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    size = sum((output / name).stat().st_size for name in names)
    print(f"staged {identity} at {revision}: {len(names)} files, {size:,} bytes")
    return record


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _commit(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", text):
        raise argparse.ArgumentTypeError(
            f"must be a commit of 40 hexadecimal digits, got '{text}': "
            "a branch or a tag can move under a model that is in service"
        )
    return text


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stage", description=__doc__, allow_abbrev=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--package", help="an installed Python package that holds the encoder")
    source.add_argument("--hub", metavar="ID", help="a model on the Hub, with --revision")
    parser.add_argument("--revision", type=_commit)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.hub and not args.revision:
        parser.error("--hub needs --revision: the commit of 40 hexadecimal digits")
    if args.package and args.revision:
        parser.error("--package takes no --revision: the installed version is recorded")
    return args


if __name__ == "__main__":
    try:
        main()
    except StageError as error:
        sys.exit(f"stage: {error}")
