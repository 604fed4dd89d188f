"""`lectern push`: hands a version over to the Hugging Face Hub, with its model card."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from lectern import hub
from lectern.deployment import Client, Deployment, connect
from lectern.faults import LecternError, UsageError
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output
from lectern.report import markdown_card
from lectern.versions import ABSENT, find_version, linked, model_data, place, read

TOKEN = "HF_TOKEN"  # noqa: S105 - the variable's name
SERVING_CODE = ("code", "onnx")
# How the card names the model: it is written before anybody knows where that will lie.
UNNAMED = 'model="ORG/NAME"'


def push(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The pipeline's name in the settings.")],
    version: Annotated[int, typer.Argument(help="The version.")],
    to: Annotated[str, typer.Option(metavar="ORG/NAME", help="The repository on the Hub.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody read a new repository.")
    ] = False,
    token_secret: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The secret in Secrets Manager with the Hub's token.",
            show_default="the token in HF_TOKEN",
        ),
    ] = None,
    revision: Annotated[str, typer.Option(metavar="BRANCH", help="The branch.")] = hub.MAIN,
    message: Annotated[
        str | None,
        typer.Option(help="The commit's message.", show_default="Version VERSION of PIPELINE"),
    ] = None,
    with_examples: Annotated[
        bool,
        typer.Option(
            "--with-examples",
            help="Publish rows of the data too: card.html quotes the worst mistakes.",
        ),
    ] = False,
    with_serving_code: Annotated[
        bool, typer.Option("--with-serving-code", help="Publish code/ and onnx/ too.")
    ] = False,
    local: Local = False,
    stage: Stage = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Publish weights, tokenizer and model card; private unless --public, in one commit."""
    options = chosen(context, local=local, stage=stage, name=name, as_json=as_json)
    output = Output(as_json=options.as_json)
    hub.check_repository(to)
    deployment = connect(options)
    found = find_version(deployment, pipeline, version, option="VERSION")
    token = _token(deployment, token_secret)
    s3 = deployment.client("s3")
    card = markdown_card(s3, found)
    with tempfile.TemporaryDirectory(prefix="lectern-") as scratch:
        folder = Path(scratch) / "model"
        with output.working("fetching the model artifact"):
            archive = _download(s3, model_data(found), Path(scratch) / "model.tar.gz")
            unpack(archive, folder, with_serving_code=with_serving_code)
        readme = card.replace(UNNAMED, _named(to, revision), 1)
        (folder / "README.md").write_text(readme, encoding="utf-8")
        if with_examples:
            (folder / "card.html").write_bytes(read(s3, linked(found, "card")))
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        with output.working(f"publishing to {to}"):
            published = hub.publish(
                folder,
                to,
                token=token,
                public=public,
                revision=revision,
                message=message or f"Version {version} of {pipeline}",
            )
    document: dict[str, Any] = {
        "pipeline": pipeline,
        "version": str(version),
        "repository": to,
        "revision": revision,
        "private": published.private,
        "commit_url": published.commit_url,
        "files": files,
    }
    readers = "private" if published.private else "public"
    output.show(
        document,
        f"version {version} of {pipeline} is in {to} ({readers}), {len(files)} files\n"
        f"{published.commit_url}",
    )


def unpack(archive: Path, folder: Path, *, with_serving_code: bool) -> None:
    """Unpack what is published of a model artifact; raises on what is no plain file inside it."""
    folder.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                parts = PurePosixPath(member.name).parts
                if member.isdir() or not parts:
                    continue
                if parts[0] in SERVING_CODE and not with_serving_code:
                    continue
                if not member.isfile() or ".." in parts or member.name.startswith("/"):
                    raise LecternError(
                        f"the model artifact holds {member.name!r}, which is no plain file of "
                        "its own: train the version again"
                    )
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise LecternError(f"the model artifact cannot be unpacked: {error}") from error
    if not (folder / "config.json").is_file():
        raise LecternError("the model artifact has no config.json: it is no transformers model")


def _named(repository: str, revision: str) -> str:
    branch = "" if revision == hub.MAIN else f", revision={json.dumps(revision)}"
    return f'model="{repository}"{branch}'


def _token(deployment: Deployment, secret: str | None) -> str:
    if secret is not None:
        token = _from_secret(deployment.client("secretsmanager"), secret)
        hub.check_token(token, source=f"--token-secret: {secret!r}")
        return token
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UsageError(
            f"the Hub wants a token with write access: set {TOKEN}, or name a secret of "
            "Secrets Manager with --token-secret"
        )
    hub.check_token(token, source=TOKEN)
    return token


def _from_secret(secrets: Client, name: str) -> str:
    try:
        answer = secrets.get_secret_value(SecretId=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise UsageError(f"--token-secret: there is no secret {name!r} in this account") from error
    text = str(answer.get("SecretString") or "").strip()
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        # As the console writes a secret: keys and values.
        text = str(parsed.get(TOKEN, "")).strip()
    if not text:
        raise UsageError(
            f"--token-secret: {name!r} must hold the token as text, or as the key {TOKEN}"
        )
    return text


def _download(s3: Client, uri: str, file: Path) -> Path:
    bucket, key = place(uri)
    try:
        s3.download_file(bucket, key, str(file))
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            raise LecternError(f"{uri} is gone: the version cannot be published") from error
        raise
    return file
