"""Writes answers in the form that was asked for: one document, or one line of a batch."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fault import Fault
from wire.accept import Form, Shape
from wire.records import Record

if TYPE_CHECKING:
    from tasks.task import Answer, Distribution

# JSON leaves them as they are, but some readers take them for the end of a line.
_LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


def write_one(answer: "Answer", form: Form) -> str:
    """Return the body; raise the model's fault where it holds what JSON cannot."""
    return _json(_shaped(answer, form))


def write_line(record: Record, answer: "Answer | Fault", form: Form) -> str:
    """Return what is said of one record, without a line end."""
    if not isinstance(answer, Fault):
        try:
            return _on_one_line({**record.identity, **_outcome(answer, form)})
        except Fault as fault:
            answer = fault
    return _on_one_line({**record.identity, "error": {**answer.document, "line": record.line}})


def _outcome(answer: "Answer", form: Form) -> dict[str, Any]:
    shaped = _shaped(answer, form)
    outcome: dict[str, Any] = dict(shaped) if form.bare else {"prediction": shaped}
    return {**outcome, "truncated": answer.cut} if answer.cut else outcome


def _shaped(answer: "Answer", form: Form) -> Any:  # noqa: ANN401 - whatever JSON can be
    if form.shape is Shape.PIPELINE:
        return answer.value
    found = answer.distributions
    if found is None:
        raise Fault("not_acceptable", f"Accept: this answer has no classes for {form}")
    if isinstance(found, Sequence):
        return [_distribution(one, form) for one in found]
    return _distribution(found, form)


def _distribution(found: "Distribution", form: Form) -> dict[str, Any]:
    document: dict[str, Any] = {"probabilities": found.probabilities.tolist()}
    if form.is_verbose:
        document["labels"] = list(found.labels)
        document["predicted_label"] = found.labels[int(found.probabilities.argmax())]
        if found.predicted is not None:
            document["predicted_labels"] = list(found.predicted)
    return document


def _json(document: Any) -> str:  # noqa: ANN401 - whatever JSON can be
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise Fault(
            "model_output", "the model's scores are not all numbers", fault="server"
        ) from None


def _on_one_line(document: dict[str, Any]) -> str:
    text = _json(document)
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Half of a surrogate pair in an id: only its escape can be written.
        return json.dumps(document, allow_nan=False, separators=(",", ":"))
    return text.translate(_LINE_ENDS)
