"""Content negotiation: the form of answer that an Accept header asks for."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from fault import Fault
from wire.media import CSV, JSON, JSON_LINES, X_TEXT, parse

_RANGES = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')


class Shape(Enum):
    """What an answer holds."""

    PIPELINE = "the shape of the transformers pipeline"
    VERBOSE = "every class with its probability, and the predicted one"
    PROBABILITIES = "every class's probability"


@dataclass(frozen=True)
class Form:
    """A media type that can be answered, and what it then holds.

    A bare line of a batch is the answer itself instead of an object with a `prediction`.
    """

    name: str
    shape: Shape
    bare: bool = False

    @property
    def is_verbose(self) -> bool:
        return self.shape is Shape.VERBOSE

    def __str__(self) -> str:
        return f"{self.name};verbose" if self.is_verbose else self.name


PIPELINE = Form(JSON, Shape.PIPELINE)


def forms(content_type: str, *, has_classes: bool) -> list[Form]:
    """The forms in which a body of this type can be answered, the most usual first."""
    names = (JSON, *JSON_LINES)
    if not has_classes:
        return [Form(name, Shape.PIPELINE) for name in names]
    plain = Shape.PROBABILITIES if content_type == X_TEXT else Shape.PIPELINE
    found = [Form(name, shape) for shape in (plain, Shape.VERBOSE) for name in names]
    if content_type == CSV:
        found.append(Form(CSV, Shape.PROBABILITIES, bare=True))
        found.append(Form(CSV, Shape.VERBOSE, bare=True))
    return found


def negotiate(accept: str | None, produced: Sequence[Form]) -> Form:
    """Pick what the caller would rather have; raise where nothing is acceptable.

    As in RFC 9110, the most specific range that matches a form gives its weight. Between equal
    weights the more specific range wins, then the one that the caller named first.
    """
    header = accept or "*/*"
    # The model server counts characters where it should count bytes, and echoes this header.
    ranges = [_Range.read(text) for text in _RANGES.findall(header)] if header.isascii() else []
    ranked = []
    for form in produced:
        matching = [
            (accepted.specificity(form), -position, accepted.weight)
            for position, accepted in enumerate(ranges)
            if accepted.specificity(form) > 0
        ]
        if matching:
            specificity, earliness, weight = max(matching)
            ranked.append((weight, specificity, earliness, form))
    best = max(ranked, key=lambda entry: entry[:3], default=None)
    if best is None or best[0] <= 0:
        raise Fault(
            "not_acceptable",
            f"Accept: '{header[:100]}' cannot be answered: use one of "
            f"{', '.join(map(str, produced))}",
            field="Accept",
            allowed=[str(form) for form in produced],
        )
    return best[3]


@dataclass(frozen=True)
class _Range:
    """One media range. Of its parameters `verbose` chooses a form; unknown ones exclude none."""

    name: str
    verbose: bool
    weight: float

    @classmethod
    def read(cls, text: str) -> "_Range":
        name, parameters = parse(text)
        # Some old clients write a lone asterisk.
        return cls(
            "*/*" if name == "*" else name, "verbose" in parameters, _weight(parameters.get("q"))
        )

    def specificity(self, form: Form) -> int:
        """0 where the range does not hold the form, more the closer it names it."""
        if self.verbose and not form.is_verbose:
            return 0
        family, _, _ = form.name.partition("/")
        rank = {"*/*": 1, f"{family}/*": 2, form.name: 3}.get(self.name, 0)
        return rank and rank + 3 * self.verbose


def _weight(text: str | None) -> float:
    try:
        weight = float(text) if text else 1.0
    except ValueError:
        return 1.0
    return min(1.0, max(0.0, weight)) if math.isfinite(weight) else 1.0
