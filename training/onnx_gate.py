"""Compares what serves with what it stands for, row by row, through the serving engine itself."""

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

if TYPE_CHECKING:
    from engine.classifier import Classifier

Text = str | tuple[str, str]
Probabilities = NDArray[np.float64]

# The export computes in fp32 as torch does; more than this is another model.
MOST_DIFFERENCE = 1e-5
LEAST_AGREEMENT = 0.99
MOST_CHANGE = 0.01
# What shares a batch may move a probability by rounding alone.
MOST_MOVED_BY_NEIGHBOURS = 1e-6
PROBES = 24
# The rows that int8 is measured on; more say no more of one per cent.
MOST_ROWS = 2000
NEIGHBOURHOODS = 64


@dataclass(frozen=True)
class Drift:
    """How far int8 is from fp32 on a model's own validation rows."""

    rows: int
    agreement: float
    mean_probability_change: float
    max_probability_change: float
    moved_by_neighbours: float

    @property
    def passes(self) -> bool:
        return (
            self.agreement >= LEAST_AGREEMENT
            and self.mean_probability_change <= MOST_CHANGE
            and self.moved_by_neighbours <= MOST_MOVED_BY_NEIGHBOURS
        )

    def document(self) -> dict[str, float]:
        return {
            name: value if isinstance(value, int) else float(f"{value:.6g}")
            for name, value in asdict(self).items()
        }


def read_texts(rows_file: Path) -> list[Text]:
    """The texts, or pairs, of a rows.jsonl: its `text`, and `text_pair` where a row has one."""
    with rows_file.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return [(r["text"], r["text_pair"]) if "text_pair" in r else r["text"] for r in rows]


def thinned(texts: Sequence[Text], most: int) -> list[Text]:
    """At most so many of them, evenly over their lengths, the longest one included."""
    by_length = sorted(texts, key=lambda text: sum(map(len, _parts(text))))
    if len(by_length) <= most:
        return by_length
    return [by_length[i] for i in np.linspace(0, len(by_length) - 1, most).astype(int)]


def difference_from_torch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    classifier: "Classifier",
    texts: Sequence[Text],
) -> float:
    """The largest difference in probability, on texts of all lengths and on one that is cut."""
    probes = thinned(texts, PROBES - 1)
    longest = probes[-1]
    limit = classifier.tokens.limit
    if limit is not None:
        grown = " ".join([_parts(longest)[0] or "text"] * limit)
        probes.append(grown if isinstance(longest, str) else (grown, longest[1]))
    arguments = {} if limit is None else {"truncation": "longest_first", "max_length": limit}
    taken = inspect.signature(model.forward).parameters
    expected = []
    for probe in probes:
        encoded = tokenizer(*_parts(probe), return_tensors="pt", **arguments)
        inputs = {name: values for name, values in encoded.items() if name in taken}
        with torch.inference_mode():
            expected.append(model(**inputs).logits[0].numpy())
    into = probabilities_of(classifier)
    served = classifier.logits(classifier.tokens.encode(probes, "longest_first"))
    return float(np.abs(into(np.stack(expected)) - into(served)).max())


def drift(exact: "Classifier", quantised: "Classifier", texts: Sequence[Text]) -> Drift:
    """Measure int8 on rows, and each of some rows alone against itself among others."""
    rows = thinned(texts, MOST_ROWS)
    into = probabilities_of(exact)
    encoded = exact.tokens.encode(rows, "longest_first")
    expected, given = exact.logits(encoded), quantised.logits(encoded)
    # Of the class that fp32 predicts: over many classes a mean would hide what callers see.
    predicted = expected.argmax(axis=1)[:, None]
    change = np.abs(np.take_along_axis(into(expected) - into(given), predicted, axis=1))
    some = [int(i) for i in np.linspace(0, len(rows) - 1, min(NEIGHBOURHOODS, len(rows)))]
    alone = np.concatenate([quantised.logits([encoded[i]]) for i in some])
    return Drift(
        rows=len(rows),
        agreement=_agreement(exact, expected, given),
        mean_probability_change=float(change.mean()),
        max_probability_change=float(change.max()),
        moved_by_neighbours=float(np.abs(into(alone) - into(given[some])).max()),
    )


def probabilities_of(classifier: "Classifier") -> Callable[[NDArray[np.float32]], Probabilities]:
    """From logits of shape (rows, classes) to what callers see: as the model's problem is."""
    problem, classes = classifier.labels.problem_type, len(classifier.labels.names)
    if problem == "regression":
        return lambda logits: logits.astype(np.float64)
    if problem == "multi_label_classification" or classes == 1:
        return lambda logits: 1 / (1 + np.exp(-logits.astype(np.float64)))
    return _softmax


def _softmax(logits: NDArray[np.float32]) -> Probabilities:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _agreement(
    classifier: "Classifier", expected: NDArray[np.float32], given: NDArray[np.float32]
) -> float:
    """The share of rows whose class, or whose every label, is the same."""
    if expected.shape[1] == 1 or classifier.labels.problem_type == "multi_label_classification":
        return float(np.mean(((expected > 0) == (given > 0)).all(axis=1)))
    return float(np.mean(expected.argmax(axis=1) == given.argmax(axis=1)))


def _parts(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text
