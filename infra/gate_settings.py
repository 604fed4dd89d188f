"""What a stage file may say of how a model is measured, and ask of it before it is registered."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infra.section import Section

Metric = Literal[
    "accuracy",
    "f1",
    "precision",
    "recall",
    "f1_micro",
    "precision_micro",
    "recall_micro",
    "f1_weighted",
    "precision_weighted",
    "recall_weighted",
    "roc_auc",
    "average_precision",
    "f1_binary",
    "precision_binary",
    "recall_binary",
]


class Requirement(Section):
    """One figure of the test rows and the least that it may be."""

    metric: Metric = Field(description="the figure, measured on the test rows")
    at_least: float = Field(ge=0, le=1, description="the least value that passes")
    of: Literal["value", "lower"] = Field(
        default="value",
        description="what is compared: the value, or the lower end of its confidence interval",
    )


class EvaluationSettings(Section):
    """How a trained model is measured, and what its card shows."""

    resamples: int = Field(
        default=1000, ge=2, le=100_000, description="bootstrap resamples of each interval"
    )
    examples: int = Field(
        default=20, ge=0, le=1000, description="mistakes that card.html quotes; 0: no texts of rows"
    )


class MarginSettings(Section):
    """How much better than the approved version a model has to be."""

    metric: Metric = Field(description="the figure, of both versions on the same rows")
    margin: float = Field(
        ge=0, le=1, description="how much higher it is at least than the approved version's"
    )


class GateSettings(Requirement):
    """What a trained model must reach to be registered."""

    also: list[Requirement] = Field(
        default=[], max_length=10, description="further figures that must be reached"
    )
    over_approved: MarginSettings | None = Field(
        default=None, description="how much better than the approved version, where there is one"
    )

    @property
    def binary_metrics(self) -> list[str]:
        """The figures asked for that only a problem of two classes has."""
        margin = [] if self.over_approved is None else [self.over_approved.metric]
        asked = [self.metric, *(other.metric for other in self.also), *margin]
        return sorted({metric for metric in asked if metric.endswith("_binary")})
