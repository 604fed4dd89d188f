"""The shapes of Hugging Face's own Inference API, so that `InferenceClient` works unchanged.

They differ from the toolkit's, by task: `FORMS` is the one table of what is asked and answered.
Read from huggingface_hub 0.36 and 2.4: `inference/_client.py`, `_providers/hf_inference.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import predictions
import requested
import tasks
from exchange import JSON, Answer, Request
from models import Model
from problems import Problem, field_error

EVENTS = "text/event-stream"
# What this client's releases before 1.0 read of a zero-shot answer, its later ones read no more.
_READS_A_DICT = re.compile(r"\bhf_hub/0\.")
_DONE = "data: [DONE]\n\n"
# Parameters of clients that change nothing here, where they ask for what is done anyway.
_IGNORED = {"model", "padding", "prompt_name", "truncation_direction", "details"}
_IGNORED |= {"decoder_input_details", "adapter_id", "use_cache", "wait_for_model"}
_GENERATES = {"summarization", "translation", "text2text-generation", "text-generation"}

Parameters = dict[str, Any]
Asked = tuple[Any, Parameters]
Document = Any


@dataclass(frozen=True)
class Form:
    """How a task's request and answer differ from the toolkit's."""

    asks: Callable[[Any, Parameters], Asked] = lambda inputs, parameters: (inputs, parameters)
    answers: Callable[[Document, Any, str], Document] = lambda found, inputs, client: found


def answer(model: Model, request: Request) -> Answer:
    """Answer in these shapes; a stream is one whose events all come when the text is there."""
    try:
        return _answer(model, request)
    except Problem as problem:
        # Where this API's clients look for words, 0.36's asynchronous one without a second look.
        problem.more = {**problem.more, "error": problem.detail}
        raise


def _answer(model: Model, request: Request) -> Answer:
    name = tasks.canonical(model.task)
    form = FORMS.get(name, Form())
    requested.content_type_of(request, {JSON})
    document = requested.json_object(request.body(requested.largest_body(model.kind)))
    inputs, parameters, stream = _read(name, document)
    sent_inputs, sent_parameters = form.asks(inputs, parameters)
    checked = requested.checked({"inputs": sent_inputs, "parameters": sent_parameters}, model)
    found = predictions.predict(model, checked, request.request_id)
    shaped = form.answers(json.loads(found.body), inputs, request.headers.get("user-agent", ""))
    headers = predictions.headers_of(found)
    if not stream:
        return Answer(shaped, headers=headers, model=model.name)
    body = _events(shaped, parameters)
    return Answer(body, content_type=EVENTS, headers=headers, model=model.name)


def _read(task: str, document: dict[str, Any]) -> tuple[Any, Parameters, bool]:
    """Inputs, parameters and whether a stream is asked for; parameters may stand beside inputs."""
    beside = dict(document)
    inputs = beside.pop("inputs", None)
    stream = beside.pop("stream", None)
    parameters = beside.pop("parameters", None)
    beside.pop("options", None)
    if not isinstance(parameters, dict | None):
        raise _invalid("parameters", "must be an object")
    given = {**beside, **(parameters or {})}
    if inputs is None:
        # The older form of questions, without `inputs` around them.
        names = {"question", "context"} if task == "question-answering" else {"query", "table"}
        if not names <= set(given):
            raise _invalid("inputs", "missing")
        inputs = {name: given.pop(name) for name in names}
    stream = given.pop("stream", stream)
    if stream not in (None, False) and task != "text-generation":
        raise _invalid("stream", f"only text-generation answers as a stream, the task is {task}")
    known = {k: v for k, v in given.items() if v is not None and k not in _IGNORED}
    return inputs, known, bool(stream)


def _invalid(field: str, message: str) -> Problem:
    errors = [field_error(field, message)]
    return Problem("invalid-request", f"{field}: {message}", errors=errors)


def _classification(inputs: Any, parameters: Parameters) -> Asked:  # noqa: ANN401
    # All labels, where the toolkit gives the best alone.
    return _in_a_list(inputs), {"top_k": None, **parameters}


def _token_classification(inputs: Any, parameters: Parameters) -> Asked:  # noqa: ANN401
    return inputs, {"aggregation_strategy": "simple", **parameters}


def _embedding(inputs: Any, parameters: Parameters) -> Asked:  # noqa: ANN401
    """One vector a text, the mean of its tokens'; `sentences` are compared with their source."""
    truncation = parameters.pop("truncate", None)
    sent = {"pooling": "mean", **parameters}
    if truncation is not None:
        sent["truncation"] = truncation
    if isinstance(inputs, dict) and {"source_sentence", "sentences"} <= set(inputs):
        others = inputs["sentences"]
        if not isinstance(others, list):
            raise _invalid("inputs.sentences", "must be a list of texts")
        return [inputs["source_sentence"], *others], {**sent, "normalize": True}
    return inputs, sent


def _generation(inputs: Any, parameters: Parameters) -> Asked:  # noqa: ANN401
    """The generated text alone; nested generation parameters stand among the others."""
    nested = parameters.pop("generate_parameters", None) or {}
    sent = {**nested, **parameters}
    if isinstance(sent.get("truncation"), str):
        sent["truncation"] = sent["truncation"] != "do_not_truncate"
    return inputs, sent


def _text_generation(inputs: Any, parameters: Parameters) -> Asked:  # noqa: ANN401
    sent = {"return_full_text": False, **parameters}
    if isinstance(sent.get("truncate"), int):
        sent["truncation"] = sent.pop("truncate") > 0
    unknown = sorted(set(sent) - set(tasks.task("text-generation").parameters))
    if unknown:
        _say_unused(unknown)
    return _generation(inputs, sent)


def _say_unused(names: list[str]) -> NoReturn:
    """The words by which clients tell that a server lacks a parameter: they ask without it."""
    listed = ", ".join(f"'{name[:40]}'" for name in names)
    words = f"The following `model_kwargs` are not used by the model: [{listed}]"
    # Its users are shown the messages of `errors`, so the words have to be there.
    raise Problem("malformed-request", words, errors=[field_error("parameters", words)])


def _table(inputs: Any, parameters: Parameters) -> Asked:  # noqa: ANN401
    # Tables lose their last rows where the model reads no more; there is no other way here.
    parameters.pop("truncation", None)
    return inputs, parameters


def _in_a_list(inputs: Any) -> Any:  # noqa: ANN401
    return inputs if isinstance(inputs, list) else [inputs]


def _labels(found: Document, inputs: Any, client: str) -> Document:  # noqa: ANN401
    """A list of labels a text."""
    return [[one] if isinstance(one, dict) else one for one in found]


def _zero_shot(found: Document, inputs: Any, client: str) -> Document:  # noqa: ANN401
    """A list of labels with scores; older clients read two lists of an object."""
    if _READS_A_DICT.search(client):
        return found
    if isinstance(found, list):
        return [_pairs(one) for one in found]
    return _pairs(found)


def _pairs(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = zip(found["labels"], found["scores"], strict=True)
    return [{"label": label, "score": score} for label, score in pairs]


def _vectors(found: Document, inputs: Any, client: str) -> Document:  # noqa: ANN401
    """The vectors, or how near each sentence is to its source: the cosine, from -1 to 1."""
    if not isinstance(inputs, dict):
        return found
    # The toolkit puts each text's vector into a list of its own.
    source, *others = (one[0] if isinstance(one[0], list) else one for one in found)
    return [sum(a * b for a, b in zip(source, other, strict=True)) for other in others]


FORMS = {
    "text-classification": Form(_classification, _labels),
    "zero-shot-classification": Form(answers=_zero_shot),
    "token-classification": Form(_token_classification),
    "feature-extraction": Form(_embedding, _vectors),
    "table-question-answering": Form(_table),
    "summarization": Form(_generation),
    "translation": Form(_generation),
    "text2text-generation": Form(_generation),
    "text-generation": Form(_text_generation),
}


def _events(found: Document, parameters: Parameters) -> str:
    """Server-sent events of one text: a piece a word, the whole with the last.

    Neither the model server nor Lambda's Python hands out a text before it is whole, so the events
    come together. Tokens have no numbers here, since the server tells none.
    """
    text: str = (found[0] if isinstance(found, list) else found)["generated_text"]
    pieces = re.findall(r"\s*\S+|\s+$", text) or [""]
    events = []
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1
        token = {"id": index, "text": piece, "logprob": 0.0, "special": False}
        event = {"index": index + 1, "token": token, "generated_text": text if last else None}
        if last:
            counted = len(pieces)
            event["details"] = {
                "finish_reason": "length",
                "generated_tokens": counted,
                "input_length": 0,
                "seed": parameters.get("seed"),
            }
        events.append(f"data:{json.dumps(event, ensure_ascii=False)}\n\n")
    return "".join(events) + _DONE
