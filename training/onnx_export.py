"""Exports a fine-tuned sequence classifier to ONNX, and makes sure that it computes the same."""

import inspect
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from onnx_files import fuse, save
from onnx_pruning import prune_last_layer

# The inputs that the serving engine makes.
INPUTS = ("input_ids", "token_type_ids", "attention_mask")
OPSET = 17
# Tokenizers that know no limit carry 1e30.
NO_LIMIT = 1_000_000
# Of no use to trace: the axes are dynamic. Two of each, so that none is taken for a 1.
TRACED_SHAPE = (2, 16)


class ExportRefused(ValueError):
    """This model cannot be served by ONNX Runtime; the text says why."""


def load_pretrained(model_dir: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in fp32 with the attention that exports as plain matrix products."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    arguments = {"use_safetensors": True, "local_files_only": True}
    model = AutoModelForSequenceClassification.from_pretrained(
        model_dir, attn_implementation="eager", **arguments
    )
    return model.float().eval(), tokenizer


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, onnx_dir: Path) -> None:
    """Write model.onnx, tokenizer.json and tokens.json; raise ExportRefused where it cannot."""
    graph = _trace(model, _inputs(model, tokenizer))
    # A model may take what it does not use.
    names = [value.name for value in graph.graph.input]
    prune_last_layer(graph)
    onnx_dir.mkdir(parents=True, exist_ok=True)
    save(fuse(graph), onnx_dir / "model.onnx")
    _write_tokenizer(model, tokenizer, names, onnx_dir)


class _Logits(nn.Module):
    """A model by its inputs in order, and its logits alone."""

    def __init__(self, model: PreTrainedModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, values, strict=True)), return_dict=True).logits


class _BartLogits(_Logits):
    """BART pools at the last end-of-text token; its own way of finding it has no ONNX form."""

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        inputs = dict(zip(self.names, values, strict=True))
        hidden = self.model.model(**inputs, return_dict=True).last_hidden_state
        ids = inputs["input_ids"]
        positions = torch.arange(ids.shape[1], device=ids.device)
        last = (ids.eq(self.model.config.eos_token_id) * positions).argmax(dim=1)
        pooled = hidden[torch.arange(ids.shape[0], device=ids.device), last]
        return self.model.classification_head(pooled)


def _inputs(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ExportRefused("its tokenizer has no form that works without transformers")
    if tokenizer.pad_token_id is None:
        raise ExportRefused("its tokenizer has no padding token")
    unknown = sorted(set(tokenizer.model_input_names) - set(INPUTS))
    if unknown:
        raise ExportRefused(f"it reads {', '.join(unknown)}, the engine makes {', '.join(INPUTS)}")
    taken = inspect.signature(model.forward).parameters
    return [name for name in INPUTS if name in tokenizer.model_input_names and name in taken]


def _trace(model: PreTrainedModel, names: Sequence[str]) -> onnx.ModelProto:
    wrapped = _BartLogits if isinstance(model, BartForSequenceClassification) else _Logits
    values = {
        "input_ids": torch.full(TRACED_SHAPE, _ordinary_token(model)),
        "token_type_ids": torch.zeros(TRACED_SHAPE, dtype=torch.long),
        "attention_mask": torch.ones(TRACED_SHAPE, dtype=torch.long),
    }
    eos = getattr(model.config, "eos_token_id", None)
    if isinstance(eos, int):
        values["input_ids"][:, -1] = eos
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # It warns of every Python condition that it passes; the comparison finds what matters.
        warnings.simplefilter("ignore")
        path = Path(scratch) / "traced.onnx"
        try:
            torch.onnx.export(
                wrapped(model, names).eval(),
                tuple(values[name] for name in names),
                str(path),
                input_names=list(names),
                output_names=["logits"],
                dynamic_axes=_axes(names),
                opset_version=OPSET,
                dynamo=False,
            )
        except (RuntimeError, ValueError, TypeError, NotImplementedError, IndexError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportRefused(f"torch cannot export it: {reason}") from error
        return onnx.load(str(path))


def _axes(names: Sequence[str]) -> Mapping[str, Mapping[int, str]]:
    inputs = {name: {0: "sequences", 1: "tokens"} for name in names}
    return {**inputs, "logits": {0: "sequences"}}


def _ordinary_token(model: PreTrainedModel) -> int:
    special = {
        value
        for name in ("pad_token_id", "bos_token_id", "eos_token_id")
        if (value := getattr(model.config, name, None)) is not None
    }
    return next(i for i in range(5, model.config.vocab_size) if i not in special)


def _write_tokenizer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    names: Sequence[str],
    onnx_dir: Path,
) -> None:
    # As transformers loaded it: its settings can differ from what the model's files say.
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(onnx_dir / "tokenizer.json"))
    fills = {
        "input_ids": tokenizer.pad_token_id,
        "token_type_ids": tokenizer.pad_token_type_id,
        "attention_mask": 0,
    }
    facts = {
        "limit": token_limit(model, tokenizer),
        "padding": {name: fills[name] for name in names},
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
    }
    (onnx_dir / "tokens.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def token_limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens that tokenizer and position embeddings allow; None where neither does."""
    limits = []
    if tokenizer.model_max_length < NO_LIMIT:
        limits.append(tokenizer.model_max_length)
    embeddings = getattr(model.base_model, "embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    if isinstance(positions, nn.Embedding):
        # RoBERTa and its kin count positions from after the padding index.
        offset = 0 if positions.padding_idx is None else positions.padding_idx + 1
        limits.append(positions.num_embeddings - offset)
    elif getattr(model.config, "max_position_embeddings", 0) > 0:
        limits.append(model.config.max_position_embeddings)
    return min(limits, default=None)
