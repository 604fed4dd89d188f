"""The two ways to run a batch: over the HTTP API with its key, or with an account's own rights."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from lectern.deployment import Deployment, Model
from lectern.faults import LecternError

Document: TypeAlias = dict[str, Any]

KEPT_DAYS = 30
SECONDS_FOR_AN_ANSWER = 60
_CHUNK_BYTES = 1 << 20


class Way(Protocol):
    """Starts a batch of a file, tells how it stands, and brings the result."""

    def start(self, model: Model, file: Path, content_type: str) -> str:
        """Send the file's lines; returns the batch's id."""
        ...

    def describe(self, batch_id: str) -> Document:
        """State, lines, done and reason, as the HTTP API answers them."""
        ...

    def download(self, batch: Document, destination: Path) -> None:
        """Bring the result of a complete batch."""
        ...


def way(deployment: Deployment) -> Way:
    """Over the HTTP API where there is one with keys, else straight to the account."""
    try:
        has_key = "ApiKeyId" in deployment.outputs("api")
    except LecternError:
        has_key = False
    if has_key:
        return OverHttp(url=deployment.api_url(), key=deployment.api_key())
    return InTheAccount(deployment)


@dataclass(frozen=True)
class OverHttp:
    """What any client of the HTTP API does."""

    url: str
    key: str

    def start(self, model: Model, file: Path, content_type: str) -> str:
        asked = {"upload": {"content_type": content_type}}
        started = self._call("POST", f"/v1/models/{model.name}/batches", asked)
        upload = started["upload"]
        length = {"content-length": str(file.stat().st_size)}
        with file.open("rb") as lines:
            request = urllib.request.Request(  # noqa: S310 - signed by the API
                upload["url"],
                data=lines,
                method=upload["method"],
                headers=upload["headers"] | length,
            )
            _opened(request)
        batch_id: str = started["id"]
        return batch_id

    def describe(self, batch_id: str) -> Document:
        return self._call("GET", f"/v1/batches/{batch_id}")

    def download(self, batch: Document, destination: Path) -> None:
        request = urllib.request.Request(batch["result_url"])  # noqa: S310 - signed by the API
        with _opened(request) as response, destination.open("wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)

    def _call(self, method: str, path: str, body: Document | None = None) -> Document:
        request = urllib.request.Request(  # noqa: S310 - the deployment's own address
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"x-api-key": self.key, "content-type": "application/json"},
        )
        with _opened(request) as response:
            found: Document = json.loads(response.read())
            return found


@dataclass(frozen=True)
class InTheAccount:
    """Writes the batch's record and starts its execution, as the API's function does."""

    deployment: Deployment

    def start(self, model: Model, file: Path, content_type: str) -> str:
        if self.deployment.record(model) is None:
            raise LecternError(
                f"no version of {model.name} is in service yet: train and approve one first"
            )
        now = datetime.now(UTC)
        moment = now.strftime("%Y%m%d-%H%M%S%f")[:-3]
        batch_id = f"{moment}-{model.name[:31].strip('-').lower()}-{secrets.token_hex(5)}"
        key = f"batches/runs/{batch_id}/lines"
        self.deployment.client("s3").upload_file(
            str(file), self._bucket, key, ExtraArgs={"ContentType": content_type}
        )
        record = {
            "id": batch_id,
            "owner": "command-line",
            "model": model.name,
            "created": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "content_type": content_type,
            "state": "InProgress",
            "input": f"s3://{self._bucket}/{key}",
        }
        expires = {"N": str(int(time.time()) + KEPT_DAYS * 86_400)}
        item = {name: {"S": value} for name, value in record.items()} | {"expires": expires}
        batch = self.deployment.outputs("batch")
        self.deployment.client("dynamodb").put_item(TableName=batch["BatchTableName"], Item=item)
        self.deployment.client("stepfunctions").start_execution(
            stateMachineArn=batch["StateMachineArn"],
            name=batch_id,
            input=json.dumps({"batch_id": batch_id}),
        )
        return batch_id

    def describe(self, batch_id: str) -> Document:
        batch = self.deployment.outputs("batch")
        item = self.deployment.client("dynamodb").get_item(
            TableName=batch["BatchTableName"], Key={"id": {"S": batch_id}}, ConsistentRead=True
        )["Item"]
        found: Document = {
            name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()
        }
        if found["state"] == "InProgress":
            found |= self._ended_otherwise(batch_id)
        return {"lines": None, "done": None, "reason": None} | found

    def download(self, batch: Document, destination: Path) -> None:
        key = f"batches/runs/{batch['id']}/result.jsonl"
        self.deployment.client("s3").download_file(self._bucket, key, str(destination))

    @property
    def _bucket(self) -> str:
        return self.deployment.outputs("storage")["DataBucketName"]

    def _ended_otherwise(self, batch_id: str) -> Document:
        """How an execution ended that left no word in the record."""
        machine = self.deployment.outputs("batch")["StateMachineArn"]
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{batch_id}"
        execution = self.deployment.client("stepfunctions").describe_execution(executionArn=arn)
        if execution["status"] not in ("FAILED", "TIMED_OUT", "ABORTED"):
            return {}
        cause = str(execution.get("cause") or execution.get("error") or "no reason given")
        return {"state": "Failed", "reason": cause[:1000]}


def _opened(request: urllib.request.Request) -> Any:  # noqa: ANN401 - urllib's response
    try:
        return urllib.request.urlopen(request, timeout=SECONDS_FOR_AN_ANSWER)  # noqa: S310
    except urllib.error.HTTPError as error:
        raise LecternError(f"the HTTP API answered {error.code}: {_detail(error)}") from error
    except urllib.error.URLError as error:
        raise LecternError(f"the HTTP API does not answer: {error.reason}") from error


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:500]
