"""The serving container on this machine: the real Hugging Face toolkit behind HTTP.

`python -m local.serving --model-dir DIR --port PORT` answers `/ping` and `/invocations` on
127.0.0.1 as Multi Model Server does in the image, without the Java that it needs. A test compares
the two on status, body and headers.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Protocol

MAX_BODY_BYTES = 6_553_500
_SERVER = {"server_name": "MMS", "server_version": "1.1.11"}
# What Multi Model Server's JSON writer escapes beyond what JSON asks for.
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&='\u2028\u2029"}


class HandlerService(Protocol):
    """The part of the toolkit's handler service that a model server calls."""

    def initialize(self, context: Context) -> None: ...

    def handle(self, data: list[dict[str, bytearray]], context: Context) -> list[object]: ...


class PredictionException(Exception):
    """What the toolkit raises for a failed request; stands in for `mms.service`'s."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"


class Metrics:
    """Takes the toolkit's timings, which Multi Model Server would log."""

    def add_time(self, name: str, value: float, idx: int = 0, unit: str = "ms") -> None:
        """Timings are not shown."""


@dataclass
class RequestProcessor:
    """One request's headers as the toolkit asks for them."""

    headers: dict[str, str]
    response_headers: dict[str, str] = field(default_factory=dict)
    status: int = 200

    def get_request_properties(self) -> dict[str, str]:
        return self.headers

    def get_request_property(self, name: str) -> str | None:
        return next((v for k, v in self.headers.items() if k.lower() == name.lower()), None)


class Context:
    """The model server's context, as handlers use it."""

    def __init__(self, model_dir: Path, gpu_id: int | None) -> None:
        self.model_name = "model"
        self.system_properties: dict[str, Any] = {
            "model_dir": str(model_dir),
            "gpu_id": gpu_id,
            "batch_size": 1,
            **_SERVER,
        }
        self.manifest: dict[str, Any] = {}
        self.metrics = Metrics()
        self.request_processor = [RequestProcessor({})]

    def get_request_header(self, idx: int, key: str) -> str | None:
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.request_processor[idx].response_headers[key] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.request_processor[idx].status = code


class Worker:
    """The model and its handler; one prediction at a time, as one worker process has it."""

    def __init__(self, service: HandlerService, context: Context) -> None:
        self._service = service
        self._context = context
        self._lock = threading.Lock()

    def load(self) -> None:
        """Tries once. A model that fails to load fails every request instead of the ping."""
        try:
            self._service.initialize(self._context)
        except Exception:  # noqa: BLE001 - the model's own code may raise anything
            traceback.print_exc()

    def answer(self, body: bytes, headers: Message) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            request = RequestProcessor(dict(headers.items()))
            self._context.request_processor = [request]
            try:
                result = self._service.handle([{"body": bytearray(body)}], self._context)
            except PredictionException as error:
                return failure(error.error_code, "InternalServerException", error.message)
            return request.status, folded(request.response_headers), encoded(result[0])


def folded(headers: dict[str, str]) -> dict[str, str]:
    """One header of each name. The order of the server's map lets `Content-Type` win, which a
    handler may set, over the `content-type` that the toolkit sets after it."""
    last = {name.lower(): (name, headers[name]) for name in sorted(headers, reverse=True)}
    return dict(last.values())


def encoded(result: object) -> bytes:
    if isinstance(result, bytes | bytearray):
        return bytes(result)
    return (result if isinstance(result, str) else json.dumps(result, indent=2)).encode()


def failure(code: int, kind: str, message: str) -> tuple[int, dict[str, str], bytes]:
    document = {"code": code, "type": kind, "message": message}
    text = json.dumps(document, indent=2, ensure_ascii=False).translate(_ESCAPED)
    return code, {"content-type": "application/json"}, f"{text}\n".encode()


class Requests(BaseHTTPRequestHandler):
    """HTTP/1.1 with connections kept open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    worker: Worker
    longest = MAX_BODY_BYTES

    def do_GET(self) -> None:
        if self.path == "/ping":
            body = b'{\n  "status": "Healthy"\n}\n'
            self._send(200, {"content-type": "application/json"}, body)
        else:
            self._refuse()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if length > self.longest:
            self._send(413, {}, b"")
        elif self.path == "/invocations":
            started = time.perf_counter()
            status, headers, answer = self.worker.answer(body, self.headers)
            self._send(status, headers, answer)
            milliseconds = round((time.perf_counter() - started) * 1000)
            print(f'ACCESS_LOG - "POST /invocations HTTP/1.1" {status} {milliseconds}', flush=True)
        else:
            self._refuse()

    def log_message(self, format: str, *args: object) -> None:
        """Only invocations are logged."""

    def _refuse(self) -> None:
        message = "Requested resource is not found, please refer to API document."
        self._send(*failure(404, "ResourceNotFoundException", message))

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    """One thread per connection; predictions queue at the worker."""

    daemon_threads = True
    request_queue_size = 128


def handler_service() -> HandlerService:
    """The toolkit's handler service, with the two model server names it imports stood in for."""
    package, module = ModuleType("mms"), ModuleType("mms.service")
    vars(module)["PredictionException"] = PredictionException
    vars(package)["service"] = module
    sys.modules |= {"mms": package, "mms.service": module}
    from sagemaker_huggingface_inference_toolkit.handler_service import HuggingFaceHandlerService

    service: HandlerService = HuggingFaceHandlerService()
    return service


def gpu() -> int | None:
    import torch

    return 0 if torch.cuda.is_available() else None


def longest_body() -> int:
    """Bytes a request may have; transform jobs set their own limit."""
    megabytes = os.environ.get("SAGEMAKER_MAX_PAYLOAD_IN_MB")
    return int(megabytes) * 1024 * 1024 if megabytes else MAX_BODY_BYTES


def model_from_hub(model_dir: Path) -> Path:
    """The directory to load: a download when HF_MODEL_ID asks for one, as the toolkit does."""
    model_id = os.environ.get("HF_MODEL_ID")
    if model_id is None:
        return model_dir
    from sagemaker_huggingface_inference_toolkit.transformers_utils import (
        HF_API_TOKEN,
        HF_MODEL_REVISION,
        _load_model_from_hub,
    )

    store = model_dir.parent / "hub"
    found = _load_model_from_hub(
        model_id=model_id,
        model_dir=store,
        revision=HF_MODEL_REVISION,
        use_auth_token=HF_API_TOKEN,
    )
    return Path(found)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(argv)
    # Handlers see what they would in the image: their own code, nothing of this checkout.
    checkout = str(Path(__file__).resolve().parent.parent)
    sys.path[:] = [entry for entry in sys.path if entry not in ("", checkout)]
    sys.path.insert(0, str(options.model_dir / "code"))
    signal.signal(signal.SIGTERM, _leave)
    # The port is taken before the model is loaded, which may last: nobody else gets it meanwhile.
    with Server(("127.0.0.1", options.port), Requests) as server:
        service = handler_service()
        context = Context(model_from_hub(options.model_dir), gpu())
        Requests.worker = Worker(service, context)
        Requests.worker.load()
        Requests.longest = longest_body()
        print(f"serving {options.model_dir} on 127.0.0.1:{options.port}", flush=True)
        server.serve_forever()


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(0)


if __name__ == "__main__":
    main()
