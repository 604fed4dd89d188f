"""Sequence classification for any engine: texts or pairs in, logits out, in the order given."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.arrange import batches

Logits = NDArray[np.float32]
# A text, or a premise with its hypothesis.
Text = str | tuple[str, str]
# What may be cut from a text, or a pair, that is longer than the model reads.
Truncation = Literal["longest_first", "only_first", "never"]

logger = logging.getLogger("lectern")


class RunFailed(Exception):
    """The model cannot compute this batch."""


@dataclass(frozen=True)
class Encoded:
    """One tokenised sequence: input_ids and what else the model takes, all of one length.

    `cut` tells that the text was longer than the model reads, and lost a part.
    """

    features: Mapping[str, Sequence[int]]
    cut: bool = False

    def __len__(self) -> int:
        return len(self.features["input_ids"])


class Tokens(Protocol):
    """A model's tokenizer."""

    @property
    def limit(self) -> int | None:
        """The most tokens that the model reads, special ones included; None: nothing limits it."""
        ...

    def encode(self, texts: Sequence[Text], truncation: Truncation) -> list[Encoded]:
        """One sequence a text.

        It is longer than the limit with "never", and where what may be cut is too short for it.
        """
        ...

    def windows(self, text: str, overlap: int) -> list[Encoded]:
        """The text as windows of at most `limit` tokens, neighbours sharing `overlap` of them."""
        ...

    def pad(self, batch: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
        """Arrays of shape (sequences, tokens of the longest)."""
        ...


class Runner(Protocol):
    """The forward pass of one model on one device."""

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> Logits:
        """Logits of shape (sequences, classes), in fp32; raise RunFailed where it cannot."""
        ...


@dataclass(frozen=True)
class Labels:
    """What the artifact says of the classes.

    `thresholds` are those of a multi-label model, in class order: a score of at least its
    threshold is a prediction. None where the artifact records none.
    """

    names: Sequence[str]
    problem_type: str | None
    thresholds: Sequence[float] | None = None


@dataclass(frozen=True)
class Classifier:
    """A model with its tokenizer: arranges sequences, runs them and puts the logits back.

    `budget` is the most tokens of a forward pass, padding included, and `most_padding` the share
    of them that may be padding. A budget of 0 runs each sequence alone.
    """

    tokens: Tokens
    runner: Runner
    labels: Labels
    budget: int
    most_padding: float = 0.1

    def logits(self, encoded: Sequence[Encoded]) -> Logits:
        """Logits of shape (sequences, classes), in the order given.

        Equal sequences are computed once, and their rows are equal to the last digit. The row of
        a sequence that the model cannot compute is NaN, and costs no other.
        """
        places: dict[tuple[tuple[int, ...], ...], int] = {}
        different: list[Encoded] = []
        rows = []
        for one in encoded:
            key = tuple(map(tuple, one.features.values()))
            rows.append(places.setdefault(key, len(different)))
            if rows[-1] == len(different):
                different.append(one)
        failures: set[str] = set()
        logits: Logits = self._computed(different, failures)[rows]
        for failure in sorted(failures):
            logger.warning("a sequence cannot be computed: %s", failure)
        return logits

    def _computed(self, encoded: Sequence[Encoded], failures: set[str]) -> Logits:
        logits = np.full((len(encoded), len(self.labels.names)), np.nan, dtype=np.float32)
        for batch in batches([len(one) for one in encoded], self.budget, self.most_padding):
            try:
                logits[batch] = self._run([encoded[i] for i in batch])
                continue
            except RunFailed as failure:
                reason = str(failure)
            # Not while the error is handled: its traceback holds the memory of the failed pass.
            if len(batch) == 1:
                failures.add(reason)
                continue
            for i in batch:
                logits[i] = self._computed([encoded[i]], failures)[0]
        return logits

    def _run(self, batch: Sequence[Encoded]) -> Logits:
        return self.runner.logits(self.tokens.pad(batch))
