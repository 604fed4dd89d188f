"""Text classification: one label or several of a text or a pair of texts, long ones in windows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.classifier import Classifier, Encoded, Labels, Text, Truncation
from fault import Fault
from tasks.parameters import check, one_of, true_or_false, whole
from tasks.task import Answer, Distribution, Question, Task
from tasks.texts import checked

PARAMETERS = {
    "top_k": whole(1, 10_000).or_null(),
    "function_to_apply": one_of("sigmoid", "softmax", "none").or_null(),
    "truncation": true_or_false(),
    "long_text": one_of("truncate", "chunk"),
    # What pipelines of transformers 4 call a top_k of null; top_k goes first.
    "return_all_scores": true_or_false(),
}
MULTI_LABEL = "multi_label_classification"
WHOLE: tuple[Truncation, ...] = ("longest_first", "never")
# The share of a window that the next one reads again, so that no phrase is torn apart.
OVERLAP = 1 / 8

Scores = NDArray[np.float32]
# A text as one sequence, or as several that overlap.
Windows = list[Encoded]
Mode = Literal["longest_first", "never", "chunk"]


@dataclass(frozen=True)
class Inputs:
    """The texts of a question, and the form that its answer follows."""

    texts: Sequence[Text]
    form: Literal["text", "object", "list"]


class TextClassification:
    """Answers as the pipeline of transformers does, texts of all questions together."""

    warm_up: Mapping[str, Any] = {"inputs": "warm up"}

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def read(self, document: Mapping[str, Any]) -> Question:
        # Without `inputs`, the document is itself the object with the text.
        given = document if "inputs" not in document and "text" in document else None
        parameters = check(document.get("parameters"), PARAMETERS)
        inputs = _inputs(document.get("inputs", given), "inputs")
        if parameters.get("long_text") == "chunk" and any(
            not isinstance(text, str) for text in inputs.texts
        ):
            raise Fault(
                "invalid_parameter",
                "parameters.long_text: chunk takes texts, not pairs: leave it out, or text_pair",
                field="parameters.long_text",
                allowed=("truncate",),
            )
        return Question(inputs, parameters)

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        tokenised = self._tokenised(questions)
        logits = iter(
            self._classifier.logits(
                [
                    sequence
                    for texts in tokenised
                    if not isinstance(texts, Fault)
                    for windows in texts
                    for sequence in windows
                ]
            )
        )
        return [
            texts if isinstance(texts, Fault) else self._answered(question, texts, logits)
            for question, texts in zip(questions, tokenised, strict=True)
        ]

    def _tokenised(self, questions: Sequence[Question]) -> list[list[Windows] | Fault]:
        tokens = self._classifier.tokens
        asked = [
            (text, _mode(question)) for question in questions for text in question.inputs.texts
        ]
        found: list[Windows] = [[] for _ in asked]
        for truncation in WHOLE:
            chosen = [i for i, (_, mode) in enumerate(asked) if mode == truncation]
            for i, one in zip(
                chosen, tokens.encode([asked[i][0] for i in chosen], truncation), strict=True
            ):
                found[i] = [one]
        for i, (text, mode) in enumerate(asked):
            if mode == "chunk":
                found[i] = tokens.windows(text, self._overlap)
        remaining = iter(found)
        return [self._fitting(list(islice(remaining, len(q.inputs.texts)))) for q in questions]

    @property
    def _overlap(self) -> int:
        return int((self._classifier.tokens.limit or 0) * OVERLAP)

    def _fitting(self, texts: list[Windows]) -> list[Windows] | Fault:
        lengths = [len(sequence) for windows in texts for sequence in windows]
        limit = self._classifier.tokens.limit
        if limit is not None and max(lengths, default=0) > limit:
            return Fault(
                "too_long",
                f"a text has {max(lengths)} tokens, the model reads {limit}: shorten it, leave "
                "truncation on, or set long_text to chunk",
                field="inputs",
            )
        if 0 in lengths:
            return Fault("invalid_input", "a text has no tokens for this model", field="inputs")
        return texts

    def _answered(
        self, question: Question, texts: list[Windows], logits: Iterator[Scores]
    ) -> Answer | Fault:
        scores = [
            self._pooled(
                self._applied(np.stack([next(logits) for _ in windows]), question), windows
            )
            for windows in texts
        ]
        if not all(np.isfinite(row).all() for row in scores):
            message = "the model computes no finite score for a text"
            return Fault("model_output", message, fault="server")
        distributions = [self._distribution(row, question) for row in scores]
        several = question.inputs.form == "list"
        return Answer(
            self._shaped(question, scores),
            cut=sum(sequence.cut for windows in texts for sequence in windows),
            distributions=distributions if several else distributions[0],
        )

    def _distribution(self, scores: Scores, question: Question) -> Distribution:
        labels = self._classifier.labels
        # They were tuned on what the sigmoid gives, and mean nothing on another scale.
        if (
            labels.thresholds is None
            or labels.problem_type != MULTI_LABEL
            or self._function(question) != "sigmoid"
        ):
            return Distribution(labels.names, scores)
        reached = scores >= np.asarray(labels.thresholds, dtype=np.float32)
        predicted = [
            name for name, is_reached in zip(labels.names, reached, strict=True) if is_reached
        ]
        return Distribution(labels.names, scores, predicted)

    def _applied(self, logits: Scores, question: Question) -> Scores:
        return FUNCTIONS[self._function(question)](logits)

    def _function(self, question: Question) -> str:
        asked: str | None = question.parameters.get("function_to_apply")
        return asked or default_function(self._classifier.labels)

    def _pooled(self, scores: Scores, windows: Windows) -> Scores:
        """The mean of a text's windows, each weighing as the tokens that are its own.

        score = sum(own_i * score_i) / sum(own_i), where own_i counts the tokens of window i that
        are neither special nor read by the window before it.
        """
        if len(windows) == 1:
            pooled: Scores = scores[0]
            return pooled
        (empty,) = self._classifier.tokens.encode([""], "never")
        read_before = [0] + [self._overlap] * (len(windows) - 1)
        own = [len(w) - len(empty) - b for w, b in zip(windows, read_before, strict=True)]
        return np.average(scores, axis=0, weights=own).astype(np.float32)

    def _shaped(self, question: Question, scores: Sequence[Scores]) -> object:
        form, parameters = question.inputs.form, question.parameters
        answers: list[Any]
        if "top_k" in parameters:
            answers = [self._entries(row, _ranking(row)[: parameters["top_k"]]) for row in scores]
            return answers if form == "list" else answers[0]
        if parameters.get("return_all_scores"):
            answers = [self._entries(row, range(len(row))) for row in scores]
        else:
            answers = [self._entries(row, _ranking(row)[:1])[0] for row in scores]
        # Only of a bare text does the pipeline make a list of one.
        return answers[0] if form == "object" else answers

    def _entries(self, scores: Scores, order: Iterable[int]) -> list[dict[str, object]]:
        names = self._classifier.labels.names
        return [{"label": names[i], "score": float(scores[i])} for i in order]


def load(classifier: Classifier) -> Task:
    return TextClassification(classifier)


def default_function(labels: Labels) -> str:
    if labels.problem_type == "regression":
        return "none"
    if labels.problem_type == MULTI_LABEL or len(labels.names) == 1:
        return "sigmoid"
    return "softmax"


def _sigmoid(logits: Scores) -> Scores:
    # Beyond the range of exp, the score is 0.
    with np.errstate(over="ignore"):
        scores: Scores = 1.0 / (1.0 + np.exp(-logits))
    return scores


def _softmax(logits: Scores) -> Scores:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Scores = shifted / shifted.sum(axis=-1, keepdims=True)
    return scores


FUNCTIONS: Mapping[str, Callable[[Scores], Scores]] = {
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "none": lambda logits: logits,
}


def _ranking(scores: Scores) -> list[int]:
    # Stable, so that equal scores stay in class order as they do in the pipeline.
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order


def _mode(question: Question) -> Mode:
    if question.parameters.get("long_text") == "chunk":
        return "chunk"
    return "longest_first" if question.parameters.get("truncation", True) else "never"


def _inputs(given: object, field: str) -> Inputs:
    if isinstance(given, list):
        texts = [_text(entry, f"{field}[{i}]") for i, entry in enumerate(given)]
        return Inputs(texts, "list")
    return Inputs([_text(given, field)], "object" if isinstance(given, dict) else "text")


def _text(given: object, field: str) -> Text:
    if isinstance(given, str):
        return checked(given, field)
    if not isinstance(given, dict) or not isinstance(given.get("text"), str):
        raise Fault(
            "invalid_input",
            f"{field} must be a text, an object with `text` and `text_pair`, or a list of them",
            field=field,
        )
    text = checked(given["text"], f"{field}.text")
    pair = checked(
        "" if given.get("text_pair") is None else given["text_pair"], f"{field}.text_pair"
    )
    # To a tokenizer, an empty second text is none.
    return (text, pair) if pair else text
