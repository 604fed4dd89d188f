"""Fine-tunes an encoder to classify texts, with the Trainer of transformers 4.51 up to 5."""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from transformers.utils.logging import disable_progress_bar

from arguments import TrainingError, hyperparameters, read_arguments
from artifact import write_record
from batches import Batches
from checkpoints import Checkpoints, fingerprint
from encoded import EncodedRows, Padding, encode
from encoder import (
    base_identity,
    limit_tokens,
    load_model,
    load_tokenizer,
    read_problem,
    set_bias,
)
from features import freeze
from fine_tuning import fine_tune, trainer
from head import train_on_features
from objective import balanced_weights, objective, starting_bias
from processes import Processes
from progress import tell_metrics
from selection import Outcome, history, kept_figures
from shipped import copy_code, inference
from stage import StageError
from thresholds import label_thresholds
from trainer_arguments import checkpoint_gradients, training_arguments
from validation_figures import measure, sigmoid

Rows = dict[str, EncodedRows]


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train, write the model artifact, and return the figures of the evaluation that it holds.

    Of the processes that torchrun starts, the first writes; the others return nothing.
    """
    started = time.monotonic()
    args = read_arguments(argv, __doc__)
    processes = Processes()
    # A log keeps every state of a bar that moves.
    disable_progress_bar()
    set_seed(args.seed)
    dataset = json.loads((args.train / "dataset.json").read_text(encoding="utf-8"))
    base = base_identity(args)
    problem, labels = read_problem(dataset, base.get("continued_from"))
    earlier = "continued_from" in base
    model = load_model(args.base, labels, several=problem.several, earlier=earlier)
    tokenizer = load_tokenizer(args.base, model)
    limit_tokens(tokenizer, model, args.max_length, earlier=earlier)
    with processes.shared_folder() as scratch:
        if processes.index_here == 0:
            for name in ("train", "validation"):
                encode(getattr(args, name) / "rows.jsonl", tokenizer, problem, scratch / name)
        processes.wait()
        rows = {name: EncodedRows(scratch / name) for name in ("train", "validation")}
        _say_what_is_trained(args, rows, model, base, processes)
        checkpoints = _checkpoint_folder(args, base, dataset, processes)
        outcome = _train(
            args, model, tokenizer, rows, processes, scratch, checkpoints, earlier=earlier
        )
    if processes.first:
        figures = kept_figures(outcome.log)
        _save(args, model, tokenizer)
        write_record(
            args.model_dir,
            base=base,
            data=dataset,
            hyperparameters=hyperparameters(args),
            metrics=figures,
            history=history(outcome.log),
            **_thresholds(outcome, labels),
            truncated=_truncated(rows["train"]),
            seconds=round(time.monotonic() - started, 1),
        )
        print(
            f"kept epoch {figures['epoch']:g} of {args.epochs}: "
            f"validation accuracy {figures['eval_accuracy']:.4f}"
        )
        # A job's last value is the one that a tuning job ranks it by: that of the model it wrote.
        tell_metrics({n: v for n, v in figures.items() if n != "epoch"})
    processes.wait()
    if checkpoints is not None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return figures if processes.first else {}


def _train(
    args: argparse.Namespace,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    processes: Processes,
    scratch: Path,
    checkpoints: Path | None,
    *,
    earlier: bool,
) -> Outcome:
    several = model.config.problem_type == "multi_label_classification"
    batches = Batches(
        rows["train"].lengths,
        batch_size=args.batch_size,
        passes=args.gradient_accumulation_steps,
        seed=args.seed,
        processes=processes.count,
        process=processes.index,
    )
    weights = None
    if args.class_weights == "balanced":
        weights = balanced_weights(rows["train"].labels, model.config.num_labels)
    if several and not earlier:
        labels = rows["train"].labels
        set_bias(model, starting_bias(labels, weights, args.label_smoothing))
    if args.gradient_checkpointing:
        checkpoint_gradients(model)
    folder = scratch / "checkpoints" if checkpoints is None else checkpoints
    made = trainer(
        model,
        training_arguments(args, folder, batches.updates, processes),
        rows,
        Padding(tokenizer),
        batches,
        objective(several=several, weights=weights, label_smoothing=args.label_smoothing),
        measure(model.config.num_labels, several=several),
    )
    if args.train_only_top_layer:
        freeze(model)
        outcome = train_on_features(made, processes, args.early_stopping_patience, scratch)
        if outcome is not None:
            return outcome
    if checkpoints is not None:
        made.add_callback(Checkpoints(checkpoints, processes))
    return fine_tune(made, processes, args.early_stopping_patience)


def _checkpoint_folder(
    args: argparse.Namespace,
    base: dict[str, Any],
    dataset: dict[str, Any],
    processes: Processes,
) -> Path | None:
    """One of its own for this training: nothing else resumes from it."""
    if not args.checkpoint_dir:
        return None
    decisive = (base, dataset["digest"], hyperparameters(args), processes.count)
    return Path(args.checkpoint_dir) / fingerprint(args.base, *decisive)


def _say_what_is_trained(
    args: argparse.Namespace,
    rows: Rows,
    model: PreTrainedModel,
    base: dict[str, Any],
    processes: Processes,
) -> None:
    cut = _truncated(rows["train"])
    processes.say(
        f"{len(rows['train'])} rows to train on, {len(rows['validation'])} to validate, "
        f"{model.config.num_labels} classes, base {base['id']} {base['revision']}\n"
        f"{cut['rows']} rows to train on ({cut['share']:.1%}) are longer than max_length "
        f"{args.max_length} and cut there"
    )


def _truncated(rows: EncodedRows) -> dict[str, float]:
    return {"rows": rows.truncated, "share": round(rows.truncated / len(rows), 6)}


def _thresholds(outcome: Outcome, labels: Sequence[str]) -> dict[str, Any]:
    """Of several labels a row, the thresholds that suit the validation rows."""
    if outcome.labels.ndim == 1:
        return {}
    found = label_thresholds(sigmoid(outcome.logits.astype(float)), outcome.labels > 0)
    return {"thresholds": dict(zip(labels, found, strict=True))}


def _save(
    args: argparse.Namespace, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model.save_pretrained(args.model_dir)
    tokenizer.save_pretrained(args.model_dir)
    copy_code(inference(), args.model_dir / "code")


if __name__ == "__main__":
    try:
        main()
    except (TrainingError, StageError) as error:
        sys.exit(f"train: {error}")
