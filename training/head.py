"""Trains the head on features: the Trainer's optimizer, schedule and log, without its step.

A step of a head takes half a millisecond; what the Trainer does around each takes six times that.
"""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import EvalPrediction, set_seed

from batches import Batches
from encoded import EncodedRows
from features import StandIn, compute_features, field_that_the_head_reads, standing_in
from fine_tuning import FineTuning
from objective import Loss, plain_loss
from processes import Processes
from selection import Outcome, best_evaluation, is_patience_over

ROWS_AT_ONCE = 4096


def train_on_features(
    trainer: FineTuning, processes: Processes, patience: int, scratch: Path
) -> Outcome | None:
    """Compute the frozen encoder's features once and train the head on them; None if it cannot.

    One process trains, with the rows an update that all would take together.
    """
    model, padding = trainer.model, trainer.data_collator
    splits = trainer.train_dataset, trainer.eval_dataset
    field, reason = field_that_the_head_reads(model, splits[0], padding)
    if field is None:
        processes.say(f"train_only_top_layer recomputes the frozen encoder each epoch: {reason}")
        return None
    path, autocast = scratch / "features", trainer.autocast_smart_context_manager
    values = compute_features(model, field, splits, padding, path, processes, autocast)
    if not processes.first:
        return Outcome([], np.zeros(0), np.zeros(0))
    with standing_in(model, StandIn(field, values)):
        return train_head(trainer, trainer.batches.of_one_process(), patience)


def train_head(trainer: FineTuning, batches: Batches, patience: int) -> Outcome:
    """Train a model whose encoder is replaced by a stand-in, which has the validation rows last."""
    model, args, state = trainer.model, trainer.args, trainer.state
    rows, validation, loss = trainer.train_dataset, trainer.eval_dataset, trainer.compute_loss_func
    trainable = [p for p in model.parameters() if p.requires_grad]
    state.max_steps = batches.updates * math.ceil(args.num_train_epochs)
    trainer.create_optimizer_and_scheduler(num_training_steps=state.max_steps)
    validation_numbers = np.arange(len(rows), len(rows) + len(validation))
    kept: dict[str, torch.Tensor] = {}
    kept_logits = np.zeros(0)
    set_seed(args.seed)
    losses: list[torch.Tensor] = []
    for epoch in range(math.ceil(args.num_train_epochs)):
        for number, update in enumerate(batches.of_epoch(epoch), start=1):
            model.train()
            parts = batches.passes_of(update)
            items = sum(rows.labels[part].size for part in parts)
            for part in parts:
                step_loss = loss(_answer(model, part), _tensor(rows.labels[part], model), items)
                step_loss.backward()
                losses.append(step_loss.detach())
            rate = trainer.lr_scheduler.get_last_lr()[0]
            nn.utils.clip_grad_norm_(trainable, args.max_grad_norm)
            trainer.optimizer.step()
            trainer.lr_scheduler.step()
            trainer.optimizer.zero_grad()
            state.global_step += 1
            state.epoch = epoch + number / batches.updates
            if state.global_step % args.logging_steps == 0:
                mean = torch.stack(losses).sum().item() / (len(losses) / batches.passes)
                trainer.log({"loss": round(mean, 4), "learning_rate": rate})
                losses = []
        logits = _logits(trainer, validation_numbers)
        _log_evaluation(trainer, logits, validation, loss)
        if best_evaluation(state.log_history)["step"] == state.global_step:
            kept = {name: value.clone() for name, value in model.state_dict().items()}
            kept_logits = logits
        if is_patience_over(state.log_history, patience):
            break
    model.load_state_dict(kept)
    return Outcome(state.log_history, kept_logits, validation.labels)


def _answer(model: nn.Module, numbers: NDArray[np.int64]) -> object:
    return model(input_ids=torch.from_numpy(numbers).to(model.device)[:, None])


def _tensor(labels: NDArray[np.int64], model: nn.Module) -> torch.Tensor:
    given = torch.from_numpy(labels).to(model.device)
    return given.float() if given.dim() == 2 else given.long()


@torch.no_grad()
def _logits(trainer: FineTuning, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    trainer.model.eval()
    parts = [
        _answer(trainer.model, numbers[start : start + ROWS_AT_ONCE]).logits.float().cpu()
        for start in range(0, len(numbers), ROWS_AT_ONCE)
    ]
    return torch.cat(parts).numpy()


def _log_evaluation(
    trainer: FineTuning, logits: NDArray[np.float32], validation: EncodedRows, loss: Loss
) -> None:
    figures = trainer.compute_metrics(
        EvalPrediction(predictions=logits, label_ids=validation.labels)
    )
    value = plain_loss(loss, logits, validation.labels)
    trainer.log({"eval_loss": value, **{f"eval_{name}": found for name, found in figures.items()}})
