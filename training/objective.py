"""The loss that training lowers: class weights and label smoothing over one or several labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

Loss = Callable[..., torch.Tensor]


def objective(*, several: bool, weights: torch.Tensor | None, label_smoothing: float) -> Loss:
    """A loss for the Trainer, whose weights and smoothing count while it trains only.

    It divides by the number of labels in the whole update, so that passes which accumulate one
    gradient equal a single large one. Class weights have a mean of 1 over the training rows and
    divide nothing. Validation takes the plain loss: runs with other settings stay comparable.
    """

    def loss(
        outputs: SequenceClassifierOutput,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        logits = outputs.logits.float()
        training = torch.is_grad_enabled()
        weight = weights.to(logits.device) if training and weights is not None else None
        smoothing = label_smoothing if training else 0.0
        if several:
            targets = labels * (1 - smoothing) + smoothing / 2
            total = functional.binary_cross_entropy_with_logits(
                logits, targets, pos_weight=weight, reduction="sum"
            )
        else:
            total = functional.cross_entropy(
                logits, labels, weight=weight, label_smoothing=smoothing, reduction="sum"
            )
        return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)

    return loss


@torch.no_grad()
def plain_loss(loss: Loss, logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """The loss of validation rows, the mean over all of them at once."""
    whole = SequenceClassifierOutput(logits=torch.from_numpy(logits))
    given = torch.from_numpy(labels)
    return loss(whole, given.float() if given.dim() == 2 else given.long()).item()


def starting_bias(
    labels: NDArray[np.int64], weights: torch.Tensor | None, label_smoothing: float
) -> torch.Tensor:
    """The logits, of shape (labels,), with the least loss for a head that knows no text.

    Of zeros and ones (rows, labels). Where labels are rare, a head that starts at even odds first
    pushes every logit down, which the encoder's weights can do faster than the bias: it learns to
    answer all texts alike, and may not come back from there.
    """
    half_a_row = 0.5 / len(labels)
    share = labels.mean(axis=0).clip(half_a_row, 1 - half_a_row)
    target = torch.from_numpy(share).float() * (1 - label_smoothing) + label_smoothing / 2
    return torch.logit(target) + (0 if weights is None else torch.log(weights))


def balanced_weights(labels: NDArray[np.int64], classes: int) -> torch.Tensor:
    """Weights, of shape (classes,), against rare classes; 1 for those that no row or every row has.

    Of class numbers (rows,): rows / (classes * rows of the class). Of zeros and ones (rows,
    classes): rows without the label / rows with it, as pos_weight wants it.
    """
    if labels.ndim == 2:
        counts = labels.sum(axis=0, dtype=np.int64)
        weights = (len(labels) - counts) / np.maximum(counts, 1)
    else:
        counts = np.bincount(labels, minlength=classes)
        weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return torch.tensor(np.where((counts > 0) & (weights > 0), weights, 1.0), dtype=torch.float32)
