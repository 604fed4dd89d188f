"""Loads what is trained: a staged encoder with a new head, or an earlier model with its own."""

import argparse
import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from arguments import TrainingError
from encoded import Problem
from stage import read_record

# A tokenizer that knows no limit says a number like 1e30.
NO_LIMIT = 10**9
# What from_pretrained raises for files that are torn, unknown, or not made for it.
UNREADABLE = (OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError, SafetensorError)


def base_identity(args: argparse.Namespace) -> dict[str, Any]:
    """Id and revision of the base, and of an earlier model what it was."""
    record = read_record(args.base)
    if record is None:
        return {"id": args.base_id, "revision": args.base_revision}
    for name in ("id", "revision"):
        given = getattr(args, f"base_{name}")
        # A directory of the user's has no name of its own; the setting gives it.
        record[name] = record[name] or given
        # An earlier model may come from another base than the settings name today.
        if given and given != record[name] and "continued_from" not in record:
            raise TrainingError(
                f"base_{name}: the staged encoder is '{record[name]}', got '{given}': "
                "run Stage again, or correct the setting"
            )
    return record


def load_tokenizer(base: Path, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer, which gives no more inputs than the model takes."""
    with _readable_base():
        tokenizer = AutoTokenizer.from_pretrained(
            base, trust_remote_code=False, local_files_only=True
        )
    if tokenizer.pad_token is None:
        raise TrainingError(
            "base: its tokenizer has no padding token, so texts of different lengths make no "
            "batch: choose an encoder such as BERT, RoBERTa, DistilBERT, ELECTRA or DeBERTa"
        )
    taken = inspect.signature(model.forward).parameters
    names = [name for name in tokenizer.model_input_names if name in taken]
    if names != tokenizer.model_input_names:
        # Written to tokenizer_config.json, so that a pipeline gives no other inputs either.
        tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names
    return tokenizer


def limit_tokens(
    tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, max_length: int, *, earlier: bool
) -> None:
    """Make the tokenizer cut at max_length, as serving will, after checking that it is allowed."""
    limit = positions(model)
    # An earlier model's tokenizer carries that training's max_length, not the encoder's limit.
    if not earlier:
        limit = min(limit, tokenizer.model_max_length)
    if max_length > limit:
        raise TrainingError(
            f"max_length: the base encoder reads at most {limit} tokens, got {max_length}: "
            f"use {limit} or less"
        )
    tokenizer.model_max_length = max_length


def positions(model: PreTrainedModel) -> float:
    """The most tokens that its position embeddings allow."""
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if isinstance(embeddings, torch.nn.Embedding):
        # RoBERTa and its kin count positions from after the padding index.
        used = 0 if embeddings.padding_idx is None else embeddings.padding_idx + 1
        return embeddings.num_embeddings - used
    size = getattr(model.config, "max_position_embeddings", None)
    return size if isinstance(size, int) and 0 < size < NO_LIMIT else math.inf


def read_problem(
    dataset: dict[str, Any], continued_from: dict[str, Any] | None
) -> tuple[Problem, list[str]]:
    """What is learned, and the labels in class order: the earlier model's where there is one."""
    problem, labels = dataset["problem"], list(dataset["labels"])
    if problem not in ("single-label", "multi-label"):
        raise TrainingError(
            f"dataset.json: problem is '{problem}', allowed are single-label and multi-label"
        )
    if continued_from is not None:
        _refuse_other_problem(dataset, continued_from)
        labels = list(continued_from["labels"])
    label2id = {label: index for index, label in enumerate(labels)}
    return Problem(problem == "multi-label", bool(dataset["pairs"]), label2id), labels


def _refuse_other_problem(dataset: dict[str, Any], continued_from: dict[str, Any]) -> None:
    problem, labels = dataset["problem"], dataset["labels"]
    if problem != continued_from["problem"]:
        raise TrainingError(
            f"problem: the earlier model is {continued_from['problem']}, the data {problem}: "
            "train from the base encoder instead, without a model to start from"
        )
    pairs = bool(dataset["pairs"])
    if continued_from.get("pairs", pairs) != pairs:
        earlier, now = ("pairs of texts", "single texts")[:: -1 if pairs else 1]
        raise TrainingError(
            f"text_pair: the earlier model reads {earlier}, the data has {now}: "
            f"give {earlier}, or train from the base encoder"
        )
    missing = [label for label in continued_from["labels"] if label not in labels]
    added = [label for label in labels if label not in continued_from["labels"]]
    if missing or added:
        differences = [
            f"{what} {', '.join(repr(label) for label in found)}"
            for what, found in (("the data lack", missing), ("the data add", added))
            if found
        ]
        raise TrainingError(
            f"labels: the earlier model's are not those of the data: {'; '.join(differences)}: "
            "continue with the same labels, or train from the base encoder"
        )


def load_model(
    base: Path, labels: Sequence[str], *, several: bool, earlier: bool
) -> PreTrainedModel:
    with _readable_base():
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            base,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            problem_type=f"{'multi' if several else 'single'}_label_classification",
            # A base that was fine-tuned before may have another number of classes.
            ignore_mismatched_sizes=not earlier,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    _refuse_foreign_weights(model, loaded)
    if earlier and loaded["missing_keys"]:
        raise TrainingError(
            f"base: the earlier model lacks {', '.join(sorted(loaded['missing_keys'])[:4])}: "
            "its artifact is not whole, train from the base encoder"
        )
    # Some checkpoints on the Hub are of half precision, in which no optimizer should add up.
    return model.float()


def set_bias(model: PreTrainedModel, bias: torch.Tensor) -> None:
    """Start the head's last layer there, where it is a linear one with a bias."""
    body = set(model.base_model.modules())
    head = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m not in body]
    if head and head[-1].out_features == len(bias) and head[-1].bias is not None:
        with torch.no_grad():
            head[-1].bias.copy_(bias)


@contextmanager
def _readable_base() -> Iterator[None]:
    """Say in one line what transformers finds wrong with the files of the base."""
    try:
        yield
    except UNREADABLE as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainingError(
            f"base: transformers {transformers.__version__} cannot load it: {reason}: give all of "
            "its files, with safetensors weights, or an encoder of a kind that transformers knows; "
            "code that comes with a model is never run"
        ) from error


def _refuse_foreign_weights(model: PreTrainedModel, loaded: dict[str, Any]) -> None:
    """The encoder's weights have to come from the file; a pooler may be new, as the head is."""
    prefix = f"{model.base_model_prefix}."
    missing = [
        key
        for key in loaded["missing_keys"]
        if key.startswith(prefix) and "pooler" not in key and "position_ids" not in key
    ]
    if missing:
        raise TrainingError(
            f"base: {len(missing)} weights of the encoder are missing, as {sorted(missing)[0]}: "
            "it is not an encoder that transformers can classify with"
        )
