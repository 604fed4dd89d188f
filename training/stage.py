"""Copies a base encoder into a directory: from a package, the Hub, a folder or an earlier model."""

import argparse
import hashlib
import importlib.metadata
import json
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from artifact import unpack

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
ARCHIVE = "model.tar.gz"
TOKEN = "HF_TOKEN"  # noqa: S105 - the key's name


class StageError(ValueError):
    """The encoder cannot be staged, or a staged one is not what its record says."""


def main(argv: Sequence[str] | None = None) -> dict[str, object]:
    """Fill the output directory and write base.json: id, revision, sha256 of each file."""
    args = _arguments(argv)
    with tempfile.TemporaryDirectory() as scratch:
        if args.earlier and (args.earlier / ARCHIVE).is_file():
            source, identity = read_earlier(args.earlier / ARCHIVE, Path(scratch))
        elif args.package:
            source, revision = find_in_package(args.package)
            identity = {"id": args.package, "revision": revision}
        elif args.path:
            source = find_in_path(args.path, Path(scratch))
            # What a folder is called, its owner says in the settings.
            identity = {"id": "", "revision": ""}
        else:
            token = read_token(args.token_secret) if args.token_secret else None
            source = _download(args.hub, args.revision, token, Path(scratch))
            identity = {"id": args.hub, "revision": args.revision}
        return _stage(source, args.output, identity)


def read_earlier(archive: Path, scratch: Path) -> tuple[Path, dict[str, object]]:
    """Unpack a model that train.py wrote; return where, and what its base and its data were."""
    try:
        unpack(archive, scratch)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise StageError(f"{archive.name} of the earlier model is no whole archive: {error}") from (
            error
        )
    path = scratch / "lectern.json"
    if not path.is_file():
        raise StageError(
            f"{archive.name} has no lectern.json, so it is no model that a pipeline trained: "
            "start from a model artifact of a pipeline, or from the base encoder"
        )
    record = json.loads(path.read_text(encoding="utf-8"))
    config = json.loads((scratch / "config.json").read_text(encoding="utf-8"))
    kind = "multi-label" if config.get("problem_type", "").startswith("multi") else "single-label"
    # The model's own order: its head gives the classes in it.
    names = [config["id2label"][str(number)] for number in range(len(config["id2label"]))]
    data = record["data"]
    continued = {
        "digest": data["digest"],
        "problem": kind,
        "labels": names,
        "pairs": bool(data.get("pairs")),
    }
    return scratch, {**record["base"], "continued_from": continued}


def find_in_path(directory: Path, scratch: Path) -> Path:
    """Return the directory with config.json: given as it is, or in the one zip that is there."""
    if not directory.is_dir():
        raise StageError(f"--path: {directory} is no directory")
    archives = sorted(directory.glob("*.zip"))
    if (directory / "config.json").is_file() or not archives:
        return directory
    if len(archives) > 1:
        raise StageError(
            f"--path: one zip of an encoder is expected, got {len(archives)}: "
            f"{', '.join(path.name for path in archives)}"
        )
    try:
        with zipfile.ZipFile(archives[0]) as archive:
            # zipfile drops what would lead out of the directory.
            archive.extractall(scratch)  # noqa: S202
    except zipfile.BadZipFile as error:
        raise StageError(f"--path: {archives[0].name}: {error}") from error
    configs = sorted(scratch.rglob("config.json"), key=lambda path: len(path.parts))
    return configs[0].parent if configs else scratch


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


def read_record(directory: Path) -> dict[str, Any] | None:
    """Return what base.json says beside `files`, after comparing each of those with its sha256."""
    path = directory / RECORD
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    for name, digest in record["files"].items():
        if not (directory / name).is_file():
            raise StageError(f"{name} of the base encoder is missing: stage it again")
        if _sha256(directory / name) != digest:
            raise StageError(f"{name} of the base encoder differs from {RECORD}: stage it again")
    return {name: value for name, value in record.items() if name != "files"}


def read_token(secret: str) -> str:
    """The Hub's token in Secrets Manager: the secret's text, or the value of its key HF_TOKEN."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        text = str(boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    except (BotoCoreError, ClientError, KeyError) as error:
        raise StageError(
            f"--token-secret: {secret!r} cannot be read: {type(error).__name__}: {error}: check "
            "base.token_secret, and that the secret is in this account and region"
        ) from error
    try:
        # As the console writes a secret: keys and values.
        text = json.loads(text)[TOKEN]
    except (ValueError, TypeError):
        pass
    except KeyError:
        raise StageError(f"--token-secret: {secret!r} has no key {TOKEN}: add it") from None
    return text.strip()


def _download(repository: str, revision: str, token: str | None, scratch: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        path = snapshot_download(
            repository,
            revision=revision,
            token=token,
            local_dir=scratch,
            allow_patterns=list(WANTED),
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StageError(
            f"cannot fetch '{repository}' at {revision}: {reason}: check the id, the revision, "
            "the network and, for a private or gated model, base.token_secret"
        ) from error
    return Path(path)


def _stage(source: Path, output: Path, identity: dict[str, object]) -> dict[str, object]:
    named = f"{identity['id']} at {identity['revision']}" if identity["id"] else "the folder"
    names = sorted(
        path.name
        for path in source.iterdir()
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in WANTED)
    )
    needed = {
        "config.json": "config.json: name a model that transformers loads",
        "*.safetensors": "safetensors weights: name a revision that has them (on the Hub, often a "
        "pull request's commit), or convert them; other formats can carry code",
        "[tv]o*": "tokenizer files",
    }
    for pattern, what in needed.items():
        if not any(fnmatch(name, pattern) for name in names):
            raise StageError(f"{named} has no {what}")
    _refuse_unknown_kind(source / "config.json", named)
    output.mkdir(parents=True, exist_ok=True)
    files = {}
    for name in names:
        shutil.copyfile(source / name, output / name)
        files[name] = _sha256(output / name)
    record: dict[str, object] = {**identity, "files": files}
    (output / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    size = sum((output / name).stat().st_size for name in names)
    continued = ", an earlier model of it" if "continued_from" in identity else ""
    print(f"staged {named}{continued}: {len(names)} files, {size:,} bytes")
    return record


def _refuse_unknown_kind(path: Path, named: str) -> None:
    """Raise for a kind of model that transformers has no code for to classify texts with."""
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    )

    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config.get("model_type")
    except (ValueError, AttributeError) as error:
        raise StageError(f"{named} has a config.json that is no JSON object: {error}") from error
    if kind not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        own = "; code that a model brings along is not run" if "auto_map" in config else ""
        raise StageError(
            f"{named} has model_type {kind!r}, which transformers {transformers.__version__} does "
            f"not classify texts with{own}: choose an encoder such as BERT, RoBERTa, DistilBERT, "
            "ELECTRA or DeBERTa"
        )


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
    source.add_argument(
        "--path", type=Path, help="a directory with an encoder, or with a zip of it"
    )
    parser.add_argument("--revision", type=_commit)
    parser.add_argument(
        "--token-secret",
        metavar="NAME",
        help="the secret in Secrets Manager with the Hub's token, for a private or gated model",
    )
    parser.add_argument(
        "--earlier",
        type=Path,
        metavar="DIR",
        help=f"where {ARCHIVE} lies in it, that model is staged instead",
    )
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.hub and not args.revision:
        parser.error("--hub needs --revision: the commit of 40 hexadecimal digits")
    if args.revision and not args.hub:
        parser.error("--revision goes with --hub: of a package the installed version is recorded")
    return args


if __name__ == "__main__":
    try:
        main()
    except StageError as error:
        sys.exit(f"stage: {error}")
