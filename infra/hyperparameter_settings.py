"""What a stage file may say of how a pipeline trains."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infra.section import Section


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
    learning_rate_schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="how the learning rate falls after the warm-up"
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: rare labels count as much as frequent ones"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of certainty taken from each label"
    )
    early_stopping_patience: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="evaluations without progress after which training ends; 0: it never does",
    )
    gradient_accumulation_steps: int = Field(
        default=1, ge=1, le=1024, description="batches whose gradients make one update"
    )
    gradient_checkpointing: bool = Field(
        default=False, description="computes activations twice, which takes less memory"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="number format of the computation; auto: the device's best"
    )


WHOLE_NUMBERS = (
    "batch_size",
    "early_stopping_patience",
    "epochs",
    "gradient_accumulation_steps",
)
NUMBERS = ("label_smoothing", "learning_rate", "warmup_ratio", "weight_decay")
CHOICES = ("class_weights", "learning_rate_schedule", "train_only_top_layer")
# Without max_length, by which Prepare reports what is cut, and without what changes only the cost.
TUNABLE = tuple(sorted((*WHOLE_NUMBERS, *NUMBERS, *CHOICES)))
