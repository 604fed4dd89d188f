"""Tiny encoders of several architectures, as save_pretrained leaves them: with random weights."""

from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    XLNetConfig,
    XLNetLMHeadModel,
)

from tests.inference import tiny

# As tiny.SHAPE, with weights small enough that training is steady.
SHAPE = {**tiny.SHAPE, "initializer_range": 0.2}
POSITIONS = {"max_position_embeddings": tiny.POSITIONS}


def bert(**settings) -> PreTrainedModel:
    return BertForMaskedLM(BertConfig(**_words(), **SHAPE, **POSITIONS, **settings))


def distilbert(**settings) -> PreTrainedModel:
    shape = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.2}
    return DistilBertForMaskedLM(DistilBertConfig(**_words(), **shape, **POSITIONS, **settings))


def roberta(**settings) -> PreTrainedModel:
    return RobertaForMaskedLM(_roberta(**settings))


def roberta_classifier() -> PreTrainedModel:
    return RobertaForSequenceClassification(_roberta(num_labels=7))


def electra() -> PreTrainedModel:
    return ElectraForMaskedLM(ElectraConfig(**_words(), embedding_size=16, **SHAPE, **POSITIONS))


def deberta() -> PreTrainedModel:
    return DebertaV2ForMaskedLM(DebertaV2Config(**_words(), **SHAPE, **POSITIONS))


def xlnet() -> PreTrainedModel:
    """Its head reads the last token."""
    config = XLNetConfig(
        vocab_size=len(tiny.tokenizer()),
        d_model=32,
        n_layer=1,
        n_head=2,
        d_inner=64,
        pad_token_id=0,
    )
    return XLNetLMHeadModel(config)


def save(model, directory: Path) -> Path:
    torch.manual_seed(3)
    made = model() if callable(model) and not isinstance(model, PreTrainedModel) else model
    made.save_pretrained(directory)
    tiny.tokenizer().save_pretrained(directory)
    return directory


def _roberta(**settings) -> RobertaConfig:
    # Its positions start after the padding index, which is 0 here.
    positions = {"max_position_embeddings": tiny.POSITIONS + 1, "type_vocab_size": 2}
    return RobertaConfig(**_words(), **SHAPE, **positions, **settings)


def _words() -> dict[str, int]:
    return {"vocab_size": len(tiny.tokenizer()), "pad_token_id": 0}
