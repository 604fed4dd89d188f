"""`lectern push`: what lies on the Hub afterwards, what never gets there, and what is refused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lectern.push import UNNAMED
from tests.command_line.conftest import ARTIFACT_BUCKET, Lectern
from tests.command_line.hub import READER, TOKEN, Hub, Repository
from tests.command_line.registered import register
from tests.functions.stand_ins import SageMaker

Aws = Callable[[str], Any]
TEXTS = ["my parcel is late", "charged twice", "the app crashes please refund"]
TO = "acme/tickets-minilm"
PUSH = ("push", "tickets", "3", "--to", TO)
CARD = """---
pipeline_tag: text-classification
---

# tickets, version 3

Accuracy 0.913 (0.881 – 0.940).

## Data

120 rows.
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model's directory, as packaging leaves it."""
    from tests.inference import tiny

    directory = tiny.classifier(
        tmp_path_factory.mktemp("model"), ("billing", "delivery", "account")
    )
    (directory / "lectern.json").write_text('{"task": "text-classification"}')
    for name in ("code/inference.py", "code/wire/media.py", "onnx/model.onnx"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    return directory


def packed(directory: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(directory, arcname=".")
    return buffer.getvalue()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    # The client reads the variable when it is imported, which in this process happened before.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    yield hub
    hub.close()


@pytest.fixture
def registered(deployed: Aws, sagemaker: SageMaker, model: Path) -> Aws:
    """Versions 1 and 3; the card and the evaluation of the third."""
    register(deployed, sagemaker, card=CARD, model=packed(model))
    return deployed


def committed(hub: Hub, branch: str = "main") -> dict[str, bytes]:
    return hub.repositories[TO].branches[branch]


def test_a_version_becomes_one_commit_of_a_private_repository(
    lectern: Lectern, registered: Aws, hub: Hub, model: Path
) -> None:
    ended = lectern(*PUSH)
    assert ended.code == 0, ended.err
    repository = hub.repositories[TO]
    assert repository.private
    [commit] = repository.commits
    assert (commit.summary, commit.branch) == ("Version 3 of tickets", "main")
    assert f"{hub.url}/{TO}/commit/{commit.oid}" in ended.out
    files = dict(committed(hub))
    readme = files.pop("README.md").decode()
    assert {name: content for name, content in files.items()} == {
        path.name: path.read_bytes() for path in model.iterdir() if path.is_file()
    }
    assert "model.safetensors" in files
    assert readme.startswith("---\npipeline_tag: text-classification\n---\n\n# tickets, version 3")
    assert set(hub.metadata) == {readme}


def test_rows_of_the_data_are_published_only_on_demand(
    lectern: Lectern, registered: Aws, hub: Hub
) -> None:
    assert lectern(*PUSH).code == 0
    assert committed(hub)["README.md"].decode() == CARD
    assert "card.html" not in committed(hub)
    assert lectern(*PUSH, "--with-examples").code == 0
    assert committed(hub)["card.html"].startswith(b"<!doctype html>")
    assert lectern(*PUSH).code == 0
    assert "card.html" not in committed(hub)


def test_the_token_is_never_shown(
    lectern: Lectern, registered: Aws, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [lectern(*PUSH), lectern(*PUSH, "--json")]
    monkeypatch.setenv("HF_TOKEN", "hf_nobodys")
    shown.append(lectern(*PUSH))
    for ended in shown:
        for token in (TOKEN, "hf_nobodys"):
            assert token not in ended.out + ended.err


def test_json_is_one_document_with_the_commit_and_its_files(
    lectern: Lectern, registered: Aws, hub: Hub
) -> None:
    ended = lectern(*PUSH, "--json", "--message", "First hand-over")
    assert ended.err == ""
    [commit] = hub.repositories[TO].commits
    assert commit.summary == "First hand-over"
    assert ended.json["commit_url"].endswith(commit.oid)
    assert ended.json["private"] is True
    assert ended.json["files"] == sorted(committed(hub))


def test_what_was_published_loads_with_plain_transformers_and_predicts_the_same(
    lectern: Lectern, registered: Aws, hub: Hub, model: Path, tmp_path: Path
) -> None:
    from transformers import pipeline

    assert lectern(*PUSH).code == 0
    downloaded = tmp_path / "downloaded"
    script = "import sys, huggingface_hub as hub; hub.snapshot_download(sys.argv[1], local_dir=sys.argv[2])"
    subprocess.run([sys.executable, "-c", script, TO, downloaded], check=True, timeout=60)
    theirs = pipeline("text-classification", model=str(model), device="cpu")
    found = pipeline("text-classification", model=str(downloaded), device="cpu")
    assert found(TEXTS, top_k=None) == theirs(TEXTS, top_k=None)


def test_serving_code_goes_along_on_demand_and_away_with_the_next_push(
    lectern: Lectern, registered: Aws, hub: Hub
) -> None:
    assert lectern(*PUSH, "--with-serving-code").code == 0
    assert {"code/inference.py", "code/wire/media.py", "onnx/model.onnx"} <= set(committed(hub))
    committed(hub)["LICENSE"] = b"theirs"
    assert lectern(*PUSH).code == 0
    assert not [name for name in committed(hub) if name.startswith(("code/", "onnx/"))]
    assert committed(hub)["LICENSE"] == b"theirs"


def test_another_branch_is_made_and_main_stays_as_it_is(
    lectern: Lectern, registered: Aws, hub: Hub
) -> None:
    assert lectern(*PUSH, "--revision", "candidate").code == 0
    assert committed(hub) == {}
    assert "model.safetensors" in committed(hub, "candidate")
    assert lectern(*PUSH, "--revision", "candidate").code == 0


def test_a_public_repository_is_written_only_if_that_is_asked_for(
    lectern: Lectern, registered: Aws, hub: Hub
) -> None:
    hub.repositories[TO] = Repository(private=False)
    refused = lectern(*PUSH)
    assert (refused.code, refused.out) == (2, "")
    assert f"--to: {TO} is public: push with --public" in refused.err
    assert not hub.repositories[TO].commits
    assert not hub.large
    allowed = lectern(*PUSH, "--public")
    assert "(public)" in allowed.out
    assert hub.repositories[TO].commits


def test_public_makes_a_public_repository(lectern: Lectern, registered: Aws, hub: Hub) -> None:
    assert lectern(*PUSH, "--public").code == 0
    assert not hub.repositories[TO].private


@pytest.mark.parametrize("content", [TOKEN, json.dumps({"HF_TOKEN": TOKEN})], ids=["text", "keys"])
def test_the_token_may_come_from_secrets_manager(
    lectern: Lectern,
    registered: Aws,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    secrets = registered("secretsmanager")
    name = f"hub-token-{len(content)}"
    secrets.create_secret(Name=name, SecretString=content)
    ended = lectern(*PUSH, "--token-secret", name)
    assert ended.code == 0, ended.err
    assert hub.repositories[TO].commits


@pytest.mark.parametrize(
    ("told", "token", "words"),
    [
        ("set HF_TOKEN, or name a secret", None, PUSH),
        ("there is no secret 'nothing'", None, (*PUSH, "--token-secret", "nothing")),
        ("the Hub does not take the token (Invalid credentials in Auth", "hf_nobodys", PUSH),
        (
            f"the Hub does not let this token write to {TO} (You don't have the rights to create "
            "a model under this namespace)",
            READER,
            PUSH,
        ),
        ("tickets has no version 2, it has: 1, 3", TOKEN, ("push", "tickets", "2", "--to", TO)),
        ("version 1 of tickets has no card", TOKEN, ("push", "tickets", "1", "--to", TO)),
        ("--to: ORG/NAME", TOKEN, ("push", "tickets", "3", "--to", "tickets")),
        ("--to: Repo id must", TOKEN, ("push", "tickets", "3", "--to", "a/b/c")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_published_is_one_line_and_nothing_on_the_hub(
    lectern: Lectern,
    registered: Aws,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    told: str,
    token: str | None,
    words: tuple[str, ...],
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    ended = lectern(*words)
    assert ended.code in (1, 2)
    assert ended.out == ""
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert not hub.repositories


def test_a_hub_that_does_not_answer_is_one_line(
    lectern: Lectern, registered: Aws, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ended = lectern(*PUSH)
    assert ended.code == 1
    assert "the Hub at http://127.0.0.1:9 cannot be reached" in ended.err


def test_a_file_that_the_hub_does_not_take_leaves_no_commit(
    lectern: Lectern, registered: Aws, hub: Hub
) -> None:
    hub.is_full = True
    ended = lectern(*PUSH)
    assert ended.code == 1
    assert "the Hub did not take the files, none is published: " in ended.err
    assert "storage limit reached" in ended.err
    assert ended.err.count("\n") == 1
    assert not hub.repositories[TO].commits


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (401, "Sign on to acme", "does not take the token (Sign on to acme): make one with write"),
        (403, "Storage limit reached", f"write to {TO} (Storage limit reached): check that it has"),
        (403, "No", "and that its owner may write to acme"),
        (404, "Not here", f"finds no {TO} for this token (Not here): check --to"),
        (409, "A commit has happened since", "answers 409 (A commit has happened since): push"),
        (422, "No such thing", "answers 422 (No such thing)\n"),
        (500, "Internal Error", "answers 500 (Internal Error): push again"),
        (503, "see https://s3/x?X-Amz-Signature=0123abcd", "answers 503 (see https://s3/x): push"),
        (500, "much " * 100, "much much"),
    ],
)
def test_what_the_hub_says_is_passed_on_in_one_line(
    lectern: Lectern, registered: Aws, hub: Hub, status: int, error: str, told: str
) -> None:
    hub.repositories[TO] = Repository(private=True)
    hub.refused = (status, error)
    ended = lectern(*PUSH)
    assert ended.code == 1
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert len(ended.err) < 500
    assert "Signature" not in ended.err
    assert not hub.repositories[TO].commits


@pytest.mark.parametrize(
    ("kind", "content"),
    [("text/html", "<!doctype html><title>Log in</title>"), ("application/json", "{}")],
)
def test_an_address_that_is_no_hub_is_said_to_be_none(
    lectern: Lectern, registered: Aws, hub: Hub, kind: str, content: str
) -> None:
    hub.instead = (200, kind, content)
    ended = lectern(*PUSH)
    assert ended.code == 1
    assert f"what answers at {hub.url} is no Hub: check HF_ENDPOINT" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("token", ["hf_one\nhf_two", "hf_größe", "hf_a b", "hf_\x7f", "hf_a\tb"])
@pytest.mark.parametrize("secret", [False, True])
def test_a_token_that_no_header_carries_is_refused_and_not_shown(
    lectern: Lectern,
    registered: Aws,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    secret: bool,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    source, more = "HF_TOKEN", ()
    if secret:
        source = f"odd-{token.encode().hex()}"
        registered("secretsmanager").create_secret(Name=source, SecretString=token)
        more = ("--token-secret", source)
    ended = lectern(*PUSH, *more)
    assert ended.code == 2
    assert source in ended.err
    assert "a token of the Hub is letters, digits and signs of ASCII without spaces" in ended.err
    assert ended.err.count("\n") == 1
    assert token not in ended.err
    assert not hub.repositories


def test_the_card_s_usage_names_the_repository_and_the_branch(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker, model: Path, hub: Hub
) -> None:
    script = Path(__file__).parents[2] / "training" / "card_markdown.py"
    assert UNNAMED in script.read_text()
    usage = f"{CARD}\nclassify = pipeline('text-classification', {UNNAMED})\n"
    register(deployed, sagemaker, card=usage, model=packed(model))
    assert lectern(*PUSH).code == 0
    assert f', model="{TO}")' in committed(hub)["README.md"].decode()
    assert lectern(*PUSH, "--revision", "candidate").code == 0
    readme = committed(hub, "candidate")["README.md"].decode()
    assert f', model="{TO}", revision="candidate")' in readme


@pytest.mark.parametrize("name", ["../outside", "/outside", "link"])
def test_an_artifact_that_reaches_out_of_its_folder_is_refused(
    lectern: Lectern, registered: Aws, hub: Hub, name: str
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        if name == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    registered("s3").put_object(
        Bucket=ARTIFACT_BUCKET, Key="runs/run3/model.tar.gz", Body=buffer.getvalue()
    )
    ended = lectern(*PUSH)
    assert ended.code == 1
    assert f"the model artifact holds '{name}'" in ended.err
    assert not hub.repositories


def test_the_command_itself_publishes(
    registered: Aws, hub: Hub, sagemaker: SageMaker, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "lectern", *PUSH],
        env={**os.environ, "HF_HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "model.safetensors" in committed(hub)


def test_a_signed_address_is_not_shown(
    lectern: Lectern, registered: Aws, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = f"{hub.url}/large/0?X-Amz-Signature=0123abcd"
    monkeypatch.setattr(
        "huggingface_hub.HfApi.upload_folder",
        lambda *_, **__: (_ for _ in ()).throw(RuntimeError(f"403: cannot access {signed}.")),
    )
    ended = lectern(*PUSH)
    assert ended.code == 1
    assert f"{hub.url}/large/0" in ended.err
    assert "Signature" not in ended.err
