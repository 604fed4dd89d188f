"""The Trainer with our batches, stopped by patience and resumed from whole checkpoints."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import save_model
from torch.serialization import register_package
from torch.utils.data import DataLoader
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import EvalLoopOutput
from transformers.utils import SAFE_WEIGHTS_NAME

from batches import Batches
from checkpoints import drop_incomplete, newest_complete, read_state
from encoded import EncodedRows, Padding
from objective import Loss, plain_loss
from processes import Processes
from progress import Progress
from selection import Outcome, is_patience_over


def _on_numbered_cpu(storage: torch.UntypedStorage, location: str) -> torch.UntypedStorage | None:
    return storage if location.startswith("cpu:") else None


# Where several processes train on CPUs, the Trainer has an optimizer's state loaded to `cpu:0`,
# a place that torch.load does not know.
register_package(100, lambda storage: None, _on_numbered_cpu)


class FineTuning(Trainer):
    """Trains on batches of like length, whose order a seed and the epoch decide."""

    batches: Batches

    def get_train_dataloader(self) -> DataLoader[Any]:
        # A generator of its own: global random numbers are for dropout, and resume where it did.
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
            generator=torch.Generator(),
        )

    def get_eval_dataloader(self, eval_dataset: EncodedRows | None = None) -> DataLoader[Any]:
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        return self.accelerator.prepare(
            DataLoader(
                rows,
                batch_size=self.args.eval_batch_size,
                sampler=rows.lengths.argsort(kind="stable").tolist(),
                collate_fn=self.data_collator,
                pin_memory=self.args.dataloader_pin_memory,
                generator=torch.Generator(),
            )
        )

    get_test_dataloader = get_eval_dataloader

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """As the Trainer's, whose loss counts rows twice that fill several processes' batches."""
        found = super().evaluation_loop(
            dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
        )
        loss = plain_loss(self.compute_loss_func, found.predictions, found.label_ids)
        found.metrics[f"{metric_key_prefix}_loss"] = loss
        return found


class EpochOrder(TrainerCallback):
    """Gives each epoch its order, also the one in whose middle a training resumes."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        self.batches.epoch = state.global_step // self.batches.updates


class Patience(TrainerCallback):
    """Ends the training where so many evaluations in a row were no better than the best."""

    def __init__(self, evaluations: int) -> None:
        self.evaluations = evaluations

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        if is_patience_over(state.log_history, self.evaluations):
            control.should_training_stop = True


class WeightsOnEachMachine(TrainerCallback):
    """Completes the checkpoints of machines but the first, where transformers 5 leaves out weights.

    Without them such a machine would go on from others than the first, or end with them.
    """

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel,
        **kwargs: object,
    ) -> None:
        weights = Path(args.output_dir) / f"checkpoint-{state.global_step}" / SAFE_WEIGHTS_NAME
        if args.should_save and not weights.exists():
            save_model(model, str(weights), metadata={"format": "pt"})


class BestOfAll(TrainerCallback):
    """Tells every process where the best weights lie.

    The Trainer's other processes look for them while the first still writes; one that looked too
    early would not wait for the others when the best are loaded.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        self.processes.wait()
        if state.best_global_step is not None:
            best = Path(args.output_dir) / f"checkpoint-{state.best_global_step}"
            state.best_model_checkpoint = str(best)


def trainer(
    model: PreTrainedModel,
    arguments: TrainingArguments,
    rows: dict[str, EncodedRows],
    padding: Padding,
    batches: Batches,
    loss: Loss,
    measure: Callable[[EvalPrediction], dict[str, float]],
) -> FineTuning:
    made = FineTuning(
        model=model,
        args=arguments,
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        data_collator=padding,
        compute_loss_func=loss,
        compute_metrics=measure,
        callbacks=[Progress(), EpochOrder(batches), WeightsOnEachMachine()],
    )
    made.batches = batches
    made.remove_callback(PrinterCallback)
    return made


def fine_tune(trainer: FineTuning, processes: Processes, patience: int) -> Outcome:
    """Train from the start or from the newest whole checkpoint, and load the best weights."""
    folder = Path(trainer.args.output_dir)
    checkpoint = newest_complete(folder, processes)
    processes.wait()
    if processes.index_here == 0:
        drop_incomplete(folder)
    processes.wait()
    trainer.add_callback(Patience(patience))
    trainer.add_callback(BestOfAll(processes))
    set_seed(trainer.args.seed)
    if checkpoint is not None:
        state = read_state(checkpoint)
        processes.say(f"resuming at step {state['global_step']} of {state['max_steps']}")
        if is_patience_over(state["log_history"], patience):
            # It had stopped by itself; what is left is to load the best.
            trainer.args.num_train_epochs = math.ceil(state["epoch"])
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return Outcome(trainer.state.log_history, *_on_validation(trainer))


def _on_validation(trainer: FineTuning) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits and labels of the weights that are kept."""
    found = trainer.predict(trainer.eval_dataset)
    return found.predictions, found.label_ids
