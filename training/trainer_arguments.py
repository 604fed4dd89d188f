"""Our hyperparameters in the Trainer's words, alike for transformers 4.51 up to 5."""

import argparse
import os
from pathlib import Path

import torch
from transformers import PreTrainedModel, TrainingArguments

from arguments import TrainingError
from processes import Processes

LOGS_PER_EPOCH = 5
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def training_arguments(
    args: argparse.Namespace, folder: Path, updates: int, processes: Processes
) -> TrainingArguments:
    """For so many updates an epoch; checkpoints go to the folder."""
    precision = resolve_precision(args.precision)
    # Transformers 4 takes what stands here over its own argument, and leaves it for the next.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no" if precision == "fp32" else precision
    made = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=args.epochs,
        learning_rate=args.learning_rate,
        per_device_train_batch_size=args.batch_size,
        per_device_eval_batch_size=args.batch_size * 2,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        weight_decay=args.weight_decay,
        lr_scheduler_type=SCHEDULES[args.learning_rate_schedule],
        # In steps, since the ratio's own setting is gone from transformers 5.
        warmup_steps=round(args.warmup_ratio * updates * args.epochs),
        # On two CPU cores a quarter of the step's time less than the loop over tensors.
        optim="adamw_torch_fused",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=not args.checkpoint_dir,
        # The one before stays until the new one is whole.
        save_total_limit=2 if args.checkpoint_dir else 1,
        save_on_each_node=processes.count_here < processes.count,
        load_best_model_at_end=True,
        metric_for_best_model="eval_selection",
        greater_is_better=True,
        # Every process has as many labels in an update; the mean of their means is the mean.
        average_tokens_across_devices=False,
        logging_steps=max(1, updates // LOGS_PER_EPOCH),
        logging_nan_inf_filter=False,
        seed=args.seed,
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
        report_to="none",
    )
    if made.n_gpu > 1:
        processes.say(
            f"{made.n_gpu} GPUs are here and one is used: torchrun uses all of them "
            "(hyperparameter sagemaker_torch_distributed_enabled=true)"
        )
        made._n_gpu = 1
    return made


def resolve_precision(given: str) -> str:
    """Fp32, bf16 or fp16: `auto` is the fastest that the device computes in."""
    on_gpu = torch.cuda.is_available()
    if given == "fp16" and not on_gpu:
        raise TrainingError(
            "precision: fp16 needs a GPU and there is none here: use fp32, bf16 or auto"
        )
    if given == "bf16" and on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise TrainingError(
            f"precision: {torch.cuda.get_device_name()} has no bf16: use fp16, fp32 or auto"
        )
    if given != "auto":
        return given
    if not on_gpu:
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def checkpoint_gradients(model: PreTrainedModel) -> None:
    """Keep few activations and compute the others again: less memory, a third more time."""
    if not model.supports_gradient_checkpointing:
        raise TrainingError(
            f"gradient_checkpointing: {type(model).__name__} does not support it: use False"
        )
    kind = {"use_reentrant": False}
    # The old name warns since transformers 5.
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(kind)
    else:
        model.gradient_checkpointing_enable(kind)
