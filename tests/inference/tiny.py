"""Small encoders with random weights, made in a second; large enough weights that scores differ."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

WORDS = (
    "the a my your our is was not please order parcel late bill invoice charged twice password "
    "login account locked app crashes screen blank refund return broken shoes courier driver "
    "door charge card fee price how do i change why when where can you we it"
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
POSITIONS = 32
# Two threads wait for each other longer than such a model computes.
torch.set_num_threads(1)
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.4,
}


def tokenizer(model_max_length: int | None = POSITIONS) -> PreTrainedTokenizerFast:
    letters = [letter for c in "abcdefghijklmnopqrstuvwxyz0123456789" for letter in (c, f"##{c}")]
    vocabulary = {
        word: i for i, word in enumerate(dict.fromkeys([*SPECIAL, *letters, *WORDS.split()]))
    }
    words = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    limit = {} if model_max_length is None else {"model_max_length": model_max_length}
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        **limit,
    )


def encoder(directory: Path) -> Path:
    """A base encoder as Stage leaves it: no classification head."""
    torch.manual_seed(3)
    words = tokenizer()
    config = BertConfig(vocab_size=len(words), max_position_embeddings=POSITIONS, **SHAPE)
    BertModel(config).save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def classifier(
    directory: Path, labels: tuple[str, ...] = ("red", "grün", "blue"), **config
) -> Path:
    torch.manual_seed(5)
    words = tokenizer()
    settings = BertConfig(
        vocab_size=len(words),
        max_position_embeddings=POSITIONS,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        **SHAPE,
        **config,
    )
    BertForSequenceClassification(settings).save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def roberta_without_a_tokenizer_limit(directory: Path) -> Path:
    """Its positions start after the padding index, so it reads two tokens fewer than it has."""
    torch.manual_seed(7)
    words = tokenizer(model_max_length=None)
    config = RobertaConfig(
        vocab_size=len(words),
        max_position_embeddings=POSITIONS,
        pad_token_id=1,
        type_vocab_size=2,
        **SHAPE,
    )
    RobertaForSequenceClassification(config).save_pretrained(directory)
    words.save_pretrained(directory)
    return directory
