"""The hooks that SageMaker's Hugging Face inference toolkit calls: load a model, answer a body."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Protocol

import torch

from classify import Classifier
from fault import Fault
from media import read_content_type, wants_verbose
from records import BadRecord, Record, has_many, read_many, read_one

TASKS = ("text-classification", "sentiment-analysis")


class Context(Protocol):
    """What the model server says about the worker."""

    system_properties: Mapping[str, object]


logger = logging.getLogger("lectern")
_logged: set[str] = set()


def model_fn(model_dir: str, context: Context | None = None) -> Classifier:
    """Load the model artifact in `model_dir`; raise a server fault where it cannot serve.

    The toolkit tries again on every request, and every one of them fails with this fault.
    """
    try:
        task = os.environ.get("HF_TASK", TASKS[0])
        if task not in TASKS:
            raise Fault(
                "model_not_loaded",
                f"HF_TASK: this handler answers {TASKS[0]}, got '{task}'",
                fault="server",
            )
        return Classifier.load(model_dir, _device(context))
    except Fault as fault:
        # Once a reason: the log is for people, not one entry per request.
        if fault.message not in _logged:
            _logged.add(fault.message)
            logger.error("the model cannot be loaded: %s", fault.message)
        raise


def transform_fn(
    model: Classifier, data: str | bytes | bytearray, content_type: str, accept: str
) -> str:
    """Answer one body: one document, or one line per line without a line end after the last."""
    media, charset = read_content_type(content_type)
    verbose = wants_verbose(accept, media)
    if has_many(media):
        return "\n".join(_answer_lines(model, read_many(data, media, charset), verbose))
    record = read_one(data, media, charset)
    (answer,) = model.answer([record], verbose=verbose)
    if isinstance(answer, Fault):
        raise answer
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _answer_lines(model: Classifier, records: list[Record | BadRecord], verbose: bool) -> list[str]:
    answers = iter(model.answer([r for r in records if isinstance(r, Record)], verbose=verbose))
    lines = []
    for record in records:
        answer = record.fault if isinstance(record, BadRecord) else next(answers)
        if isinstance(answer, Fault):
            outcome: dict[str, object] = {"error": {"code": answer.code, "message": answer.message}}
        else:
            outcome = {"prediction": answer}
        # In ASCII: nothing in an id can then pass for a line end.
        lines.append(json.dumps({**record.identity, **outcome}, separators=(",", ":")))
    return lines


def _device(context: Context | None) -> str:
    if not torch.cuda.is_available():
        return "cpu"
    gpu = context.system_properties.get("gpu_id") if context is not None else None
    return f"cuda:{gpu or 0}"
