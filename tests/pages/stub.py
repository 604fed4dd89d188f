"""An API that speaks the contract with made-up answers, for the pages: `python tests/pages/stub.py`.

It serves the real pages below two base paths, as the gateway on AWS and the local one have them, and
a bucket on a port of its own, as S3 is another origin. A text chooses what happens: see `_trouble`.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "lambda" / "api"))

import pages  # noqa: E402

LOCAL, AWS = "/restapis/1a2b3c/local/_user_request_", "/dev"
# Base path: who may ask. The pages are told by an environment variable.
BASES = {
    LOCAL: "api-key",
    AWS: "api-key",
    "/jwt": "jwt",
    "/iam": "iam",
    "/open": "open-to-everyone",
    "/own": "api-key",
}
KEY = "stub-key"
BATCH_SECONDS = float(os.environ.get("STUB_BATCH_SECONDS", "1.5"))
LABELS = [
    ("billing", 0.9247),
    ("account", 0.0391),
    ("delivery", 0.0202),
    ("technical", 0.0117),
    ("returns", 0.0043),
]
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
# name: task, kind, state, version
MODELS = {
    "digest": ("summarization", "real-time", "InService", "1"),
    "facts": ("question-answering", "serverless", "InService", "2"),
    "fresh": ("text-classification", "real-time", "NotDeployed", None),
    "ledger": ("table-question-answering", "real-time", "InService", "1"),
    "nightly": ("text-classification", "none", "BatchOnly", "7"),
    "open": ("zero-shot-classification", "serverless", "InService", "1"),
    "people": ("token-classification", "real-time", "Updating", "4"),
    "stories": ("text-generation", "async", "InService", "1"),
    "tickets": ("text-classification", "real-time", "InService", "3"),
    "tongues": ("translation_en_to_de", "real-time", "InService", "1"),
    "vectors": ("feature-extraction", "real-time", "InService", "1"),
    "words": ("fill-mask", "real-time", "Failed", "2"),
}


class Refused(Exception):
    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        errors: Any = (),
        retry: int | None = None,
    ):
        self.status, self.retry = status, retry
        self.document = {
            "type": f"urn:lectern:problem:{kind}", "title": title, "status": status,
            "detail": detail, "errors": list(errors), "request_id": "stub-request",
        }  # fmt: skip


class World:
    """What the stub remembers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.batches: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.results: dict[str, tuple[float, Any]] = {}
        self.bucket = ""


WORLD = World()


def answer_of(task: str, asked: dict[str, Any]) -> Any:
    inputs, parameters = asked["inputs"], asked.get("parameters") or {}
    if isinstance(inputs, list):
        return [answer_of(task, {"inputs": one, "parameters": parameters}) for one in inputs]
    if task == "text-classification":
        inputs = inputs["text"] if isinstance(inputs, dict) else inputs
        labels = [(MARKUP, 0.75), ("safe", 0.25)] if "<" in inputs else LABELS
        if "many" in inputs:
            labels = [(f"label {n}", 1 / (n + 2)) for n in range(40)]
        scored = [{"label": label, "score": score} for label, score in labels]
        return scored if parameters.get("top_k", 1) is None else scored[:1]
    if task == "zero-shot-classification":
        labels = parameters["candidate_labels"]
        scores = [round(0.8 / (n + 1), 4) for n in range(len(labels))]
        return {"sequence": inputs, "labels": labels, "scores": scores}
    if task == "token-classification":
        found = []
        for word, kind in [
            ("Ada Lovelace", "PER"),
            ("Charles Babbage", "PER"),
            ("London", "LOC"),
            ("ACME", "ORG"),
        ]:
            if (start := inputs.find(word)) >= 0:
                found.append(
                    {
                        "entity_group": kind,
                        "score": 0.997,
                        "word": word,
                        "start": start,
                        "end": start + len(word),
                    }
                )
        return found
    if task == "question-answering":
        start = inputs["context"].find("ten")
        return {"score": 0.8412, "start": start, "end": start + 3, "answer": "ten"}
    if task == "table-question-answering":
        return {"answer": "31", "coordinates": [[0, 1]], "cells": ["31"], "aggregator": "NONE"}
    if task == "fill-mask":
        words = [
            ("Monday", 0.412),
            ("Tuesday", 0.223),
            ("time", 0.101),
            ("Friday", 0.064),
            ("Sunday", 0.031),
        ]
        return [
            {"score": s, "token": n, "token_str": w, "sequence": f"The parcel arrived on {w}."}
            for n, (w, s) in enumerate(words)
        ]
    if task == "feature-extraction":
        return [[round(((n * 37) % 101 - 50) / 400, 4) for n in range(384)]]
    if task == "summarization":
        return [
            {
                "summary_text": "A lighthouse from 1871 has run without a keeper since 1989; a technician visits twice a year."
            }
        ]
    if task.startswith("translation"):
        return [{"translation_text": "Das Geschäft öffnet samstags um zehn Uhr."}]
    return [
        {
            "generated_text": f"{inputs} that had not been lit for years, and one evening somebody saw it shine."
        }
    ]


def _trouble(task: str, asked: dict[str, Any]) -> None:
    text = json.dumps(asked["inputs"])
    if "slow" in text:
        time.sleep(2)
    if "busy" in text:
        raise Refused(
            503,
            "busy",
            "Busy",
            "tickets takes no more requests at the moment, or is waking up",
            retry=2,
        )
    if "broken" in text:
        raise Refused(
            502,
            "model-fault",
            "Model fault",
            "the model failed on this input; its log has the reason",
        )
    parameters = asked.get("parameters") or {}
    errors = []
    top_k = parameters.get("top_k")
    if top_k is not None and not isinstance(top_k, int):
        errors.append(
            {
                "field": "parameters.top_k",
                "message": "must be a whole number from 1, or null for all classes",
            }
        )
    for name in parameters:
        if name.startswith("un"):
            errors.append({"field": f"parameters.{name}", "message": f"not a parameter of {task}"})
    if len(parameters.get("candidate_labels") or []) > 5:
        errors.append({"field": "parameters.candidate_labels", "message": "at most 5 labels"})
    if errors:
        raise Refused(
            422,
            "invalid-request",
            "Invalid request",
            "; ".join(f"{e['field']}: {e['message']}" for e in errors),
            errors,
        )


def hub_answer(task: str, asked: dict[str, Any]) -> Any:
    answer = answer_of(task, asked)
    if task == "text-classification":
        return [answer]
    return answer


def now(seconds: float | None = None) -> str:
    return (
        datetime.fromtimestamp(seconds or time.time(), UTC)
        .isoformat(timespec="seconds")
        .replace("+00:00", "Z")
    )


def batch_document(batch: dict[str, Any]) -> dict[str, Any]:
    batch_id, started = batch["id"], batch["started_at"]
    state, lines, done, errors, reason = "AwaitingUpload", None, 0, None, None
    if started is not None:
        share = min((time.time() - started) / batch["lasts"], 1)
        lines = batch["lines"] if share > 0.05 else None
        done = int(batch["lines"] * share)
        state = "Completed" if share == 1 else "InProgress"
        errors = batch["bad"] if state == "Completed" else None
    if batch["stopped"]:
        state, done, errors, reason = "Stopped", batch["stopped"], None, "the batch was stopped"
    over = state in ("Completed", "Stopped")
    return {
        "id": batch_id, "model": batch["model"], "state": state, "created": now(batch["created_at"]),
        "started": now(started) if started else None,
        "finished": now(started + batch["lasts"]) if over and started else None,
        "lines": lines, "done": done, "errors": errors,
        "result_url": f"{WORLD.bucket}/results/{batch_id}?signature=x" if state == "Completed" else None,
        "result_expires": now(time.time() + 3600) if state == "Completed" else None, "reason": reason,
        "upload": {
            "method": "PUT", "url": f"{WORLD.bucket}/uploads/{batch_id}?signature=x",
            "headers": {"content-type": batch["content_type"]}, "expires": now(time.time() + 3600),
        } if state == "AwaitingUpload" else None,
    }  # fmt: skip


def begin(batch: dict[str, Any], content: bytes) -> None:
    lines = content.splitlines()
    is_csv = batch["content_type"] == "text/csv"
    batch["lines"] = len(lines)
    batch["bad"] = 0 if is_csv else sum(1 for line in lines if not _is_json(line))
    batch["lasts"] = 60 if b"long" in content[:200] else BATCH_SECONDS
    batch["started_at"] = time.time()


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_DELETE = do_GET

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        if parts.path == "/stub/requests":
            return self.send(200, WORLD.requests)
        base = next(
            (base for base in BASES if parts.path == base or parts.path.startswith(f"{base}/")),
            None,
        )
        if base is None:
            return self.send(404, {"message": "Not Found"})
        path = parts.path.removeprefix(base) or "/"
        headers = {name.lower(): value for name, value in self.headers.items()}
        with WORLD.lock:
            os.environ["AUTH"] = BASES[base]  # pages are asked for one at a time here
            WORLD.requests.append(
                {
                    "method": self.command,
                    "path": path,
                    "headers": headers,
                    "body": body.decode(errors="replace")[:5000],
                }
            )
        try:
            self.base = base
            self.route(path, {k: v[0] for k, v in parse_qs(parts.query).items()}, headers, body)
        except Refused as refused:
            more = {} if refused.retry is None else {"retry-after": str(refused.retry)}
            self.send(
                refused.status,
                refused.document,
                {"content-type": "application/problem+json", **more},
            )

    def route(self, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
        request: Any = SimpleNamespace(path=path)
        if path in ("/", "/v1/docs"):
            answer = (pages.playground if path == "/" else pages.documentation)(request)
            headers = {"content-type": answer.content_type, **answer.headers}
            return self.send(answer.status, answer.body, headers)
        if path == "/v1/openapi.json":
            return self.send(200, own_openapi() if self.base == "/own" else openapi())
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if key != KEY and BASES[self.base] != "open-to-everyone":
            raise Refused(
                403,
                "invalid-api-key",
                "Invalid API key",
                "the header x-api-key has no key of this API",
            )
        match self.command, path.strip("/").split("/"):
            case "GET", ["v1", "models"]:
                return self.send(200, {"models": [self.model(name) for name in MODELS]})
            case "GET", ["v1", "models", name]:
                return self.send(200, self.model(name))
            case "POST", ["v1", "models", name]:
                return self.predict(name, headers, json.loads(body))
            case "POST", ["hf", "models", name]:
                return self.send(200, hub_answer(MODELS[name][0], json.loads(body)))
            case "GET", ["v1", "results", result]:
                return self.result(result)
            case "POST", ["v1", "models", name, "batches"]:
                return self.start_batch(name, headers, body)
            case "GET", ["v1", "batches"]:
                found = [batch_document(batch) for batch in reversed(WORLD.batches.values())]
                at, limit = int(query.get("next_token", 0)), int(query.get("limit", 20))
                token = str(at + limit) if at + limit < len(found) else None
                return self.send(200, {"batches": found[at : at + limit], "next_token": token})
            case "GET" | "DELETE", ["v1", "batches", batch_id]:
                if (batch := WORLD.batches.get(batch_id)) is None:
                    raise Refused(
                        404, "unknown-batch", "Unknown batch", f"there is no batch {batch_id!r}"
                    )
                document = batch_document(batch)
                if self.command == "DELETE" and document["state"] in (
                    "InProgress",
                    "AwaitingUpload",
                ):
                    batch["stopped"] = max(document["done"], 1)
                return self.send(200, batch_document(batch))
        raise Refused(404, "not-found", "Not found", f"there is no {self.command} {path}")

    def model(self, name: str) -> dict[str, Any]:
        task, kind, state, version = MODELS[name]
        return {
            "name": name,
            "task": task,
            "kind": kind,
            "state": state,
            "version": version,
            "endpoint": f"lectern-stub-{name}",
        }

    def predict(self, name: str, headers: dict[str, str], asked: dict[str, Any]) -> None:
        task, kind, state, version = MODELS[name]
        if state == "NotDeployed":
            raise Refused(
                409,
                "not-deployed",
                "Model not deployed",
                f"no version of {name} is approved yet: train and approve one of the pipeline tickets",
            )
        _trouble(task, asked)
        if kind == "async" or headers.get("prefer") == "respond-async":
            result = secrets.token_hex(6)
            WORLD.results[result] = (time.time() + 1.2, (answer_of(task, asked), version))
            more = {"location": f"../results/{result}", "retry-after": "1"}
            return self.send(202, self.pending(result), more)
        return self.send(200, answer_of(task, asked), self.said_by(version, asked))

    def pending(self, result: str) -> dict[str, Any]:
        return {
            "id": result,
            "model": "stories",
            "state": "InProgress",
            "result": f"/v1/results/{result}",
        }

    def said_by(self, version: str | None, asked: Any = "") -> dict[str, str]:
        cut = {"x-lectern-truncated": "1"} if "very long" in json.dumps(asked) else {}
        return {"x-lectern-model-version": str(version), **cut}

    def result(self, result: str) -> None:
        due, (answer, version) = WORLD.results[result]
        if time.time() < due:
            return self.send(202, self.pending(result), {"retry-after": "1"})
        return self.send(200, answer, self.said_by(version))

    def start_batch(self, name: str, headers: dict[str, str], body: bytes) -> None:
        key = headers.get("idempotency-key", secrets.token_hex(8))
        if key in WORLD.keys:
            return self.send(
                200, batch_document(WORLD.batches[WORLD.keys[key]]), {"idempotent-replayed": "true"}
            )
        batch_id = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        content_type = headers.get("content-type", "")
        asked = json.loads(body) if content_type == "application/json" else {}
        if not asked.get("input", "s3://").startswith("s3://"):
            errors = [{"field": "input", "message": "must be an s3:// URI"}]
            raise Refused(422, "invalid-request", "Invalid request", "input: must be", errors)
        upload = asked.get("upload")
        batch: dict[str, Any] = {
            "id": batch_id, "model": name, "created_at": time.time(), "started_at": None, "stopped": 0,
            "content_type": upload["content_type"] if upload else content_type, "lasts": BATCH_SECONDS,
        }  # fmt: skip
        if upload is None:
            begin(batch, b"{}\n" * 3 if asked else body)
        WORLD.keys[key] = batch_id
        WORLD.batches[batch_id] = batch
        self.send(202, batch_document(batch), {"location": f"../../batches/{batch_id}"})

    def send(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        content = (document if isinstance(document, str) else json.dumps(document)).encode()
        given = {"content-type": "application/json", "x-request-id": "stub-request"}
        given |= {name.lower(): value for name, value in (headers or {}).items()}
        self.send_response(status)
        for name, value in given.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Bucket(BaseHTTPRequestHandler):
    """Another origin that takes uploads from pages and gives results."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        batch = WORLD.batches[urlsplit(self.path).path.rsplit("/", 1)[-1]]
        if self.headers.get("content-type") != batch["content_type"]:
            return self.say(403, b"SignatureDoesNotMatch")
        begin(batch, content)
        return self.say(200, b"")

    def do_GET(self) -> None:
        batch = WORLD.batches[urlsplit(self.path).path.rsplit("/", 1)[-1]]
        line = json.dumps({"prediction": [{"label": "billing", "score": 0.9}]}).encode()
        self.say(200, b"\n".join([line] * batch["lines"]) + b"\n")

    def do_OPTIONS(self) -> None:
        self.say(200, b"")

    def say(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("access-control-allow-origin", "*")
        self.send_header("access-control-allow-methods", "GET, PUT")
        self.send_header("access-control-allow-headers", "content-type")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def openapi() -> Any:
    return json.loads(Path(__file__).with_name("openapi_sample.json").read_text())


def own_openapi() -> Any:
    """The description that the function itself gives of these models."""
    served = {
        name: {
            "task": task,
            "kind": kind,
            "endpoint": name,
            "pipeline": None,
            "parameter": f"/{name}",
        }
        for name, (task, kind, _, _) in MODELS.items()
    }
    os.environ["MODELS"] = json.dumps(served)
    import openapi as own

    return own.answer(SimpleNamespace()).body


def main() -> None:
    """Serve until the standard input ends; say the addresses first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    bucket = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    api = ThreadingHTTPServer(("127.0.0.1", asked.port), Api)
    for server in (bucket, api):
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    WORLD.bucket = f"http://127.0.0.1:{bucket.server_port}"
    origin = f"http://127.0.0.1:{api.server_port}"
    print(
        json.dumps(
            {"origin": origin, "local": origin + LOCAL, "aws": origin + AWS, "bucket": WORLD.bucket}
        ),
        flush=True,
    )
    sys.stdin.read()


if __name__ == "__main__":
    main()
