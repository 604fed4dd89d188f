"""What a stage file may say of a fine-tuning pipeline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from infra.constraints import ProcessingType, TrainingType
from infra.encoder_settings import Base
from infra.gate_settings import EvaluationSettings, GateSettings
from infra.hyperparameter_settings import Hyperparameters
from infra.section import Section
from infra.tuning_settings import TuneSettings

# An argument of a processing job's container ends at 256 characters.
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Delimiter = Annotated[str, StringConstraints(min_length=1, max_length=16)]


class ColumnSettings(Section):
    """Where a row's text and label stand, and how many rows may be bad."""

    text: ColumnName = Field(default="auto", description="the text column, or auto")
    text_pair: ColumnName = Field(
        default="none", description="the column of the second text of a pair, or none"
    )
    label: ColumnName = Field(default="auto", description="the label column, or auto")
    label_delimiter: Delimiter = Field(
        default="none", description="what stands between the labels of one cell, or none"
    )
    label_at_least: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="turns a numeric label into 1 from this value on, else 0",
    )
    max_rejected: float = Field(
        default=0.05, ge=0, le=1, description="share of bad rows above which the run fails"
    )


class SplitSettings(Section):
    """Which part of the rows is kept from training."""

    # Below a half each, as Prepare takes them: something is left to train on.
    validation: float = Field(
        default=0.1, gt=0, lt=0.5, description="fraction that steers training"
    )
    test: float = Field(default=0.2, gt=0, lt=0.5, description="fraction that the gate measures on")
    seed: int = Field(
        default=13, ge=0, le=2**31 - 1, description="seeds split, training and tuning"
    )


class PipelineSettings(Section):
    """One fine-tuning pipeline with its registry of versions."""

    base: Base = Field(description="the pretrained encoder: hub and revision, package, or path")
    problem: Literal["single-label", "multi-label"] = Field(
        description="whether a row has exactly one label, or any number of them"
    )
    columns: ColumnSettings = Field(
        default=ColumnSettings(), description="where a row's text and label stand"
    )
    split: SplitSettings = Field(
        default=SplitSettings(), description="which part of the rows is kept from training"
    )
    hyperparameters: Hyperparameters = Field(
        default=Hyperparameters(), description="what training tries"
    )
    tune: TuneSettings | None = Field(
        default=None, description="searches for the best hyperparameters instead of training once"
    )
    gate: GateSettings = Field(description="what a model must reach to be registered")
    evaluation: EvaluationSettings = Field(
        default=EvaluationSettings(), description="how a model is measured and shown"
    )
    approval: Literal["manual", "automatic"] = Field(
        description="whether a person approves a version before it serves"
    )
    instance_type: TrainingType = Field(description="a training instance type with a GPU")
    instance_count: int = Field(
        default=1, ge=1, le=32, description="machines that train one model together"
    )
    processing_instance_type: ProcessingType = Field(
        description="a processing instance type: prepares rows, evaluates models"
    )
    volume_gb: int = Field(
        default=30,
        ge=10,
        le=16_384,
        description="disk of each job in GB: Prepare needs room for the rows three times",
    )
    max_runtime_seconds: int = Field(
        default=14_400, ge=60, le=432_000, description="longest that one job may run"
    )
    spot: bool = Field(default=False, description="trains on spare, revocable capacity")
    max_wait_seconds: int | None = Field(
        default=None,
        ge=60,
        le=864_000,
        description="longest that spot training may wait and run together",
    )
