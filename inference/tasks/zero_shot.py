"""Zero-shot classification: how well each of the caller's labels describes a text."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.classifier import Classifier, Encoded
from fault import Fault
from tasks import parameters as kinds
from tasks.task import Answer, Distribution, Question, Task
from tasks.texts import checked

# Each label costs a pass of the model over each text.
MOST_LABELS = 100
LONGEST_LABEL = 200
LONGEST_TEMPLATE = 500
# Enough to find many of like length.
PAIRS_AT_ONCE = 4096
TEMPLATE = "This example is {}."
ONE_GAP = re.compile(r"[^{}]*\{\}[^{}]*")

_TEMPLATES = kinds.text(LONGEST_TEMPLATE)
_LABELS = kinds.texts(MOST_LABELS, LONGEST_LABEL)
PARAMETERS = {
    "candidate_labels": kinds.Kind(
        f"a list, or a text with commas, of 1 to {MOST_LABELS} labels of 1 to {LONGEST_LABEL} "
        "characters",
        lambda value: _LABELS.holds(_split(value)) and all(map(str.strip, _split(value))),
    ),
    "hypothesis_template": kinds.Kind(
        f"a text of at most {LONGEST_TEMPLATE} characters with exactly one {{}}, where the label "
        "goes, and no other brace",
        lambda value: _TEMPLATES.holds(value) and ONE_GAP.fullmatch(value) is not None,
    ),
    "multi_label": kinds.true_or_false(),
    # The older name for multi_label.
    "multi_class": kinds.true_or_false(),
}

Logits = NDArray[np.float32]
Pair = tuple[str, str]

logger = logging.getLogger("lectern")


@dataclass(frozen=True)
class Inputs:
    """The texts of a question, whether they came as a list, and its labels with a sentence each."""

    texts: Sequence[str]
    several: bool
    labels: Sequence[str]
    hypotheses: Sequence[str]

    @property
    def rows(self) -> Iterator[list[Pair]]:
        """For each text, its pairs with the hypotheses."""
        return ([(text, sentence) for sentence in self.hypotheses] for text in self.texts)


@dataclass(frozen=True)
class Judged:
    """Logits of one text, of shape (labels, classes); None where a pair is too long."""

    logits: Logits | None
    cut: bool


class ZeroShot:
    """Asks a natural language inference model whether a text entails a sentence with the label."""

    warm_up: Mapping[str, Any] = {
        "inputs": "warm up",
        "parameters": {"candidate_labels": ["one", "other"]},
    }

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        names = [name.lower() for name in classifier.labels.names]
        if len(names) < 2:
            raise Fault(
                "model_not_loaded",
                "zero-shot-classification needs a model with the classes contradiction and "
                f"entailment, this one has {len(names)}",
                fault="server",
            )
        entailing = [i for i, name in enumerate(names) if name.startswith("entail")]
        if not entailing:
            logger.warning("no class is named entailment: the last one is taken for it")
        self._entailment = entailing[0] if entailing else len(names) - 1
        self._contradiction = len(names) - 1 if self._entailment == 0 else 0

    def read(self, document: Mapping[str, Any]) -> Question:
        field = "inputs" if "inputs" in document else "sequences"
        if field not in document:
            message = "inputs is missing: a text or a list of texts"
            raise Fault("invalid_input", message, field="inputs")
        # In the flat form, parameters stand beside the texts.
        beside = {name: document[name] for name in PARAMETERS if name in document}
        flat = bool(beside) and "parameters" not in document
        prefix = "" if flat else "parameters."
        parameters = kinds.check(beside if flat else document.get("parameters"), PARAMETERS, prefix)
        if "candidate_labels" not in parameters:
            field = f"{prefix}candidate_labels"
            words = PARAMETERS["candidate_labels"].words
            raise Fault("invalid_parameter", f"{field} is missing: {words}", field=field)
        labels = _split(parameters["candidate_labels"])
        # Not str.format: a template is the caller's, and could reach into objects.
        template = parameters.get("hypothesis_template", TEMPLATE)
        hypotheses = [template.replace("{}", label) for label in labels]
        texts, several = _texts(document[field], field)
        return Question(Inputs(texts, several, labels, hypotheses), parameters)

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        rows = (row for question in questions for row in question.inputs.rows)
        judged = (one for slab in _slabs(rows) for one in self._judged(slab))
        return [
            self._answered(question, list(islice(judged, len(question.inputs.texts))))
            for question in questions
        ]

    def _judged(self, slab: Sequence[Sequence[Pair]]) -> Iterator[Judged]:
        tokens = self._classifier.tokens
        pairs = list(dict.fromkeys(pair for row in slab for pair in row))
        encoded = dict(zip(pairs, tokens.encode(pairs, "only_first"), strict=True))
        fitting = [pair for pair in pairs if _fits(encoded[pair], tokens.limit)]
        computed = self._classifier.logits([encoded[pair] for pair in fitting])
        logits = dict(zip(fitting, computed, strict=True))
        for row in slab:
            whole = all(pair in logits for pair in row)
            yield Judged(
                np.stack([logits[pair] for pair in row]) if whole else None,
                any(encoded[pair].cut for pair in row),
            )

    def _answered(self, question: Question, judged: Sequence[Judged]) -> Answer | Fault:
        computed = [one.logits for one in judged if one.logits is not None]
        if len(computed) < len(judged):
            return Fault(
                "too_long",
                "a label in its hypothesis_template is longer than the model reads beside a text: "
                "shorten both",
                field="candidate_labels",
            )
        scores = [self._scores(logits, question) for logits in computed]
        if not all(np.isfinite(row).all() for row in scores):
            message = "the model computes no finite score for a text"
            return Fault("model_output", message, fault="server")
        labels = question.inputs.labels
        answers = [
            _ranked(sequence, labels, row)
            for sequence, row in zip(question.inputs.texts, scores, strict=True)
        ]
        distributions = [Distribution(labels, row) for row in scores]
        several = question.inputs.several
        return Answer(
            answers if several else answers[0],
            cut=sum(one.cut for one in judged),
            distributions=distributions if several else distributions[0],
        )

    def _scores(self, logits: Logits, question: Question) -> Logits:
        """Scores of the labels of one text; `logits` is of shape (labels, classes)."""
        parameters = question.parameters
        independent = parameters.get("multi_class", parameters.get("multi_label", False))
        if independent or len(logits) == 1:
            return _softmax(logits[:, [self._contradiction, self._entailment]])[:, 1]
        return _softmax(logits[:, self._entailment])


def load(classifier: Classifier) -> Task:
    return ZeroShot(classifier)


def _texts(given: object, field: str) -> tuple[list[str], bool]:
    if isinstance(given, list):
        return [checked(one, f"{field}[{i}]") for i, one in enumerate(given)], True
    return [checked(given, field)], False


def _split(labels: Any) -> Any:  # noqa: ANN401
    """Labels that came as a text with commas, as a list; anything else as it is."""
    if isinstance(labels, str):
        return [label.strip() for label in labels.split(",") if label.strip()]
    return labels


def _slabs(rows: Iterable[list[Pair]]) -> Iterator[list[list[Pair]]]:
    """Rows a few at a time, so that a large body with many labels does not fill the memory."""
    slab: list[list[Pair]] = []
    pairs = 0
    for row in rows:
        if slab and pairs + len(row) > PAIRS_AT_ONCE:
            yield slab
            slab, pairs = [], 0
        slab.append(row)
        pairs += len(row)
    if slab:
        yield slab


def _fits(encoded: Encoded, limit: int | None) -> bool:
    return limit is None or len(encoded) <= limit


def _softmax(logits: Logits) -> Logits:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Logits = shifted / shifted.sum(axis=-1, keepdims=True)
    return scores


def _ranked(sequence: str, labels: Sequence[str], scores: Logits) -> dict[str, object]:
    # Equal scores stand in the pipeline's order, the later label first.
    order = scores.argsort()[::-1]
    return {
        "sequence": sequence,
        "labels": [labels[i] for i in order],
        "scores": [float(scores[i]) for i in order],
    }
