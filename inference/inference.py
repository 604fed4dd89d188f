"""The hooks that SageMaker's Hugging Face inference toolkit calls: load a model, answer a body."""

import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fault import Fault, without_paths
from wire.accept import PIPELINE, Form, forms, negotiate
from wire.answers import write_line, write_one
from wire.media import read_content_type
from wire.records import Body, Record, has_many, read_many, read_one

if TYPE_CHECKING:
    from tasks.task import Answer, Question, Task

CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_FILE = re.compile(r"\b[\w-][\w.-]*\.(?:json|safetensors|bin|onnx|data|model|txt|py|so)\b")
# How the HTTP API numbers the requests that it passes on.
_REQUEST = re.compile(r"\blectern-request=([0-9A-Za-z-]{1,64})\b")

logger = logging.getLogger("lectern")


class Context(Protocol):
    """What the model server says about the worker, and takes with an answer."""

    system_properties: Mapping[str, Any]
    request_processor: Sequence[Any]

    def set_response_header(self, idx: int, key: str, value: str) -> None: ...


@dataclass(frozen=True)
class Served:
    """A task that has answered its warm-up, and whether its answers have classes."""

    task: "Task"
    has_classes: bool


def model_fn(model_dir: str, context: Context | None = None) -> Served | Fault:
    """Load the model artifact and let it answer once; return the fault of one that cannot serve.

    Raised, the toolkit would load it again on every request. Returned, it is what they all get.
    """
    try:
        return _load(model_dir, context)
    # Loading runs the code of models and libraries: whatever it raises, the requests hear of it.
    except Exception as error:
        logger.error("the model cannot serve: %s", error, exc_info=error)
        return _why_not_loaded(error)


def transform_fn(
    model: Served | Fault,
    data: Body,
    content_type: str | None,
    accept: str | None,
    context: Context | None = None,
) -> str:
    """Answer one body: one document, or one line per line without a line end after the last."""
    started = time.perf_counter()
    outcome = "failed"
    try:
        answered = _transform(model, data, content_type, accept, context)
        outcome = "answered"
        return answered
    except Fault as fault:
        outcome = fault.code
        raise
    finally:
        _tell(context, outcome, time.perf_counter() - started)


def _tell(context: Context | None, outcome: str, seconds: float) -> None:
    """A line of the log for a request that the API has numbered; never what it said."""
    if context is None:
        return
    headers = context.request_processor[0].get_request_properties()
    given = next((v for k, v in headers.items() if k.lower() == CUSTOM_ATTRIBUTES.lower()), "")
    if found := _REQUEST.search(given):
        print(f"request {found[1]} {outcome} in {seconds * 1000:.1f} ms", flush=True)


def _transform(
    model: Served | Fault,
    data: Body,
    content_type: str | None,
    accept: str | None,
    context: Context | None,
) -> str:
    if isinstance(model, Fault):
        # One exception for all requests: without this, its traceback would grow with each.
        raise model.with_traceback(None)
    media, charset = read_content_type(content_type)
    form = negotiate(accept, forms(media, has_classes=model.has_classes))
    if context is not None:
        # The toolkit names the whole Accept header as the type; this spelling of the name wins.
        context.set_response_header(0, "Content-Type", str(form))
    if has_many(media):
        records = list(read_many(data, media, charset))
        return "\n".join(_lines(model.task, records, form))
    (answer,) = _answers(model.task, [read_one(data, media, charset)])
    if isinstance(answer, Fault):
        raise answer
    if answer.cut and context is not None:
        context.set_response_header(0, CUSTOM_ATTRIBUTES, f"lectern-truncated={answer.cut}")
    return write_one(answer, form)


def _load(model_dir: str, context: Context | None) -> Served:
    # Imported here, so that the fault of an import is the model's fault as well.
    from tasks.architectures import task_of_artifact
    from tasks.registry import load

    gpu = context.system_properties.get("gpu_id") if context is not None else None
    task = load(
        os.environ.get("HF_TASK") or task_of_artifact(model_dir),
        model_dir,
        engine=os.environ.get("LECTERN_ENGINE") or "torch",
        device="cpu" if gpu is None else f"cuda:{gpu}",
    )
    (answer,) = task.answer([task.read(task.warm_up)])
    if isinstance(answer, Fault):
        raise answer
    write_one(answer, PIPELINE)
    return Served(task, has_classes=answer.distributions is not None)


def _lines(task: "Task", records: Sequence[Record], form: Form) -> list[str]:
    answers = _answers(task, [record.document for record in records])
    return [
        write_line(record, answer, form) for record, answer in zip(records, answers, strict=True)
    ]


def _answers(
    task: "Task", documents: Sequence[Mapping[str, Any] | Fault]
) -> list["Answer | Fault"]:
    """Answer in order; a document that cannot be read or answered gets its own fault."""
    faults: dict[int, Fault] = {}
    questions: dict[int, Question] = {}
    log = _Log()
    for place, document in enumerate(documents):
        if isinstance(document, Fault):
            faults[place] = document
            continue
        try:
            questions[place] = task.read(document)
        # A bug that one odd document meets costs that document only.
        except Exception as error:  # noqa: BLE001
            faults[place] = _why_not_answered(error, log)
    answers = dict(zip(questions, _passes(task, list(questions.values()), log), strict=True))
    return [faults.get(place) or answers[place] for place in range(len(documents))]


def _passes(task: "Task", questions: Sequence["Question"], log: "_Log") -> list["Answer | Fault"]:
    """Answer all at once. Where that fails as a whole, halves show for which of them it does."""
    try:
        return task.answer(questions)
    # A forward pass may raise anything; the worker lives on, and the log has the reason.
    except Exception as error:  # noqa: BLE001
        if len(questions) <= 1:
            return [_why_not_answered(error, log)]
    # Past the except clause: the exception would keep the tensors of the failed pass alive.
    half = len(questions) // 2
    return _passes(task, questions[:half], log) + _passes(task, questions[half:], log)


class _Log:
    """Writes each reason once a request, since thousands of lines may share it."""

    def __init__(self) -> None:
        self._written: set[str] = set()

    def write(self, error: Exception) -> None:
        if repr(error) not in self._written:
            self._written.add(repr(error))
            logger.error("a question cannot be answered", exc_info=error)


def _why_not_answered(error: Exception, log: _Log) -> Fault:
    if isinstance(error, Fault):
        return error
    log.write(error)
    if isinstance(error, MemoryError) or "memory" in f"{type(error).__name__} {error}".lower():
        message = "the model ran out of memory: send shorter texts, or fewer at once"
        return Fault("out_of_memory", message, fault="server")
    message = "the model could not answer this: its log has the reason"
    return Fault("model_failed", message, fault="server")


def _why_not_loaded(error: Exception) -> Fault:
    """The fault without paths, or the kind of exception and the files that its text names."""
    if isinstance(error, Fault):
        return Fault(
            "model_not_loaded",
            without_paths(error.message),
            fault="server",
            field=error.field,
            allowed=error.allowed,
        )
    named = list(dict.fromkeys(_FILE.findall(str(error))))[:4]
    about = ", ".join([type(error).__name__, *named])
    message = f"the model cannot be loaded ({about}): its log has the reason"
    return Fault("model_not_loaded", message, fault="server")
