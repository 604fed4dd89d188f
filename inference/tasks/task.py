"""What the hooks know of a task: it reads a document into a question, and answers questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fault import Fault


@dataclass(frozen=True)
class Question:
    """A document that its task has checked: inputs in the task's own form, parameters as given."""

    inputs: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Distribution:
    """Every class of one text and its probability, in class order.

    `predicted` names those that reach their thresholds; None where the model has no thresholds.
    """

    labels: Sequence[str]
    probabilities: NDArray[np.float32]
    predicted: Sequence[str] | None = None


@dataclass(frozen=True)
class Answer:
    """One answer in the shape of the transformers pipeline, as json.dumps takes it.

    `cut` counts the texts that were longer than the model reads and lost their end.
    `distributions` is what verbose answers are made of: one, or one a text where the inputs were
    a list; None where the task has no classes.
    """

    value: object
    cut: int = 0
    distributions: Distribution | Sequence[Distribution] | None = None


class Task(Protocol):
    """A loaded model with the rules of its task."""

    # Answered once when the model is loaded: a model that cannot do that cannot serve.
    warm_up: Mapping[str, Any]

    def read(self, document: Mapping[str, Any]) -> Question:
        """Check one JSON object without its `id`; raise a client's Fault that names the field."""
        ...

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        """Answer all of them, in order; what fails for one costs no other."""
        ...
