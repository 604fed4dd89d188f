"""Loads a model of transformers with its tokenizer, or says why it cannot serve."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from engine.threads import limit_torch
from fault import Fault, without_paths

# Tokenizers that know no limit carry 1e30.
NO_LIMIT = 1_000_000


def load_pretrained(
    model_dir: Path, auto_class: type, device: str, *, may_lack: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of an artifact, in fp32 on its device, and its tokenizer; raise a server's Fault.

    `may_lack` is a part of the names of weights that the task does without.
    """
    limit_torch()
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
        # transformers takes scaled dot product attention by itself where the model has it.
        model, loading = auto_class.from_pretrained(
            model_dir, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    # Whatever is wrong with an artifact is told; for a broken file, tokenizers has but Exception.
    except Exception as error:
        raise not_loaded(without_paths(f"{error}")) from error
    _check_files(tokenizer, model_dir)
    # transformers 5 fills what a checkpoint lacks with random numbers, and only warns.
    missing = [n for n in sorted(loading["missing_keys"]) if may_lack is None or may_lack not in n]
    if missing:
        raise not_loaded(
            f"the weights lack {', '.join(missing[:4])}: this model was not trained for this task"
        )
    return model.float().eval().to(device), tokenizer


def positions(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens that tokenizer and position embeddings allow; None where neither does."""
    limits = []
    if tokenizer.model_max_length < NO_LIMIT:
        limits.append(tokenizer.model_max_length)
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if isinstance(embeddings, torch.nn.Embedding):
        # RoBERTa and its kin count positions from after the padding index.
        offset = 0 if embeddings.padding_idx is None else embeddings.padding_idx + 1
        limits.append(embeddings.num_embeddings - offset)
    else:
        limits += configured(model, "max_encoder_position_embeddings", "max_position_embeddings")
    return min(limits, default=None)


def configured(model: PreTrainedModel, *names: str) -> list[int]:
    """The first of these sizes that config.json has, as a list of at most one."""
    sizes = (getattr(model.config, name, None) for name in names)
    return [size for size in sizes if isinstance(size, int) and size > 0][:1]


def not_loaded(reason: str) -> Fault:
    return Fault("model_not_loaded", reason, fault="server")


def _check_files(tokenizer: PreTrainedTokenizerBase, model_dir: Path) -> None:
    # Where files are missing, transformers 5 makes a tokenizer that knows no word.
    names = tuple(tokenizer.vocab_files_names.values())
    if names and not any((model_dir / name).is_file() for name in names):
        raise not_loaded(f"the tokenizer has no file: one of {', '.join(names)} is needed")
