"""Publishes a folder to the Hugging Face Hub by its own client."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from lectern.faults import LecternError, UsageError

HubClient: TypeAlias = Any  # imported only where something is published: it takes a while

# What an earlier push may have left, and this one does not bring, goes away with it.
OURS = ("*.safetensors", "*.safetensors.index.json", "code/*", "onnx/*", "card.html")
MAIN = "main"
LONGEST_REASON = 300


@dataclass(frozen=True)
class Published:
    """Where a folder lies now."""

    commit_url: str
    private: bool


def check_repository(name: str) -> None:
    """Raise unless the name is one that the Hub takes, with its owner."""
    hub = _hub()
    try:
        hub.utils.validate_repo_id(name)
    except hub.utils.HFValidationError as error:
        raise UsageError(f"--to: {error}") from error
    if "/" not in name:
        raise UsageError(f"--to: ORG/NAME, or USER/NAME, got {name!r}")


def check_token(token: str, *, source: str) -> None:
    """Raise where a header cannot carry it, which the client would take for a network's fault."""
    odd = next((i for i, c in enumerate(token) if not "!" <= c <= "~"), None)
    if odd is not None:
        raise UsageError(
            f"{source}: a token of the Hub is letters, digits and signs of ASCII without spaces, "
            f"got another character at place {odd + 1} of {len(token)}: copy the token anew"
        )


def publish(
    folder: Path, repository: str, *, token: str, public: bool, revision: str, message: str
) -> Published:
    """Make the repository where it is missing and commit the folder to it, in one commit.

    Refuses to write to a public repository unless that is asked for.
    """
    hub = _hub()
    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    with _clear_faults(hub, repository, api.endpoint):
        api.create_repo(repository, private=not public, exist_ok=True)
        is_private = bool(api.repo_info(repository).private)
        if not (is_private or public):
            raise UsageError(
                f"--to: {repository} is public: push with --public, or name another repository"
            )
        if revision != MAIN:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            delete_patterns=list(OURS),
        )
    return Published(commit.commit_url, is_private)


@contextmanager
def _clear_faults(hub: HubClient, repository: str, endpoint: str) -> Iterator[None]:
    requests = import_module("requests")
    try:
        yield
    except hub.utils.HfHubHTTPError as error:
        raise LecternError(_told(error, repository, endpoint)) from error
    except hub.errors.OfflineModeIsEnabled as error:
        raise LecternError("HF_HUB_OFFLINE is set: unset it to publish") from error
    except (requests.JSONDecodeError, KeyError) as error:
        raise LecternError(
            f"what answers at {endpoint} is no Hub: check HF_ENDPOINT, and whether a proxy or a "
            "login page answers in its place"
        ) from error
    except requests.RequestException as error:
        raise LecternError(
            f"the Hub at {endpoint} cannot be reached ({type(error).__name__}): "
            "check the network and HF_ENDPOINT"
        ) from error
    except (RuntimeError, ValueError) as error:
        # What the client raises where a large file is not taken; its cause is the Hub's answer.
        reason = _reason(error.__cause__ or error)
        raise LecternError(
            f"the Hub did not take the files, none is published: {reason}"
        ) from error


def _told(error: Any, repository: str, endpoint: str) -> str:  # noqa: ANN401 - the client's own
    status = error.response.status_code
    reason = _reason(error.server_message or error)
    namespace = repository.partition("/")[0]
    told = {
        401: f"the Hub does not take the token ({reason}): make one with write access at "
        f"{endpoint}/settings/tokens",
        403: f"the Hub does not let this token write to {repository} ({reason}): check that it "
        f"has write access, and that its owner may write to {namespace}",
        404: f"the Hub finds no {repository} for this token ({reason}): check --to, and that its "
        f"owner may read {namespace}",
    }
    if status in told:
        return told[status]
    again = ": push again" if status == 409 or status >= 500 else ""
    return f"the Hub at {endpoint} answers {status} ({reason}){again}"


def _reason(error: object) -> str:
    """The Hub's own words on one line."""
    text = _unsigned(" ".join(str(error).split()))
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def _unsigned(text: str) -> str:
    """Without the queries of addresses: those of uploads are signed, which no log may show."""
    return re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", text)


def _hub() -> HubClient:
    try:
        hub = import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise LecternError(
            "the Hub's client is not installed here: run `lectern` from a checkout whose "
            "environment has requirements.txt"
        ) from error
    # They are no attributes of it before they are imported.
    for part in ("errors", "utils"):
        import_module(f"huggingface_hub.{part}")
    return hub
