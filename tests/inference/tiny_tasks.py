"""Small models with random weights for every task, in folders as an artifact has them."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    BertModel,
    ConvBertConfig,
    ConvBertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    MarianConfig,
    MarianMTModel,
    MBartConfig,
    MBartForConditionalGeneration,
    MBartTokenizerFast,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForQuestionAnswering,
    T5Config,
    T5ForConditionalGeneration,
    TapasConfig,
    TapasForQuestionAnswering,
    TapasTokenizer,
)

WORDS = [
    "the",
    "a",
    "my",
    "your",
    "our",
    "is",
    "was",
    "not",
    "please",
    "order",
    "parcel",
    "late",
    "bill",
    "invoice",
    "charged",
    "twice",
    "password",
    "login",
    "account",
    "locked",
    "app",
    "crashes",
    "screen",
    "blank",
    "refund",
    "return",
    "broken",
    "shoes",
    "courier",
    "driver",
    "door",
    "charge",
    "card",
    "fee",
    "price",
    "how",
    "do",
    "i",
    "change",
    "why",
    "when",
    "where",
    "can",
    "you",
    "we",
    "it",
    "anna",
    "bert",
    "paris",
    "berlin",
    "lives",
    "in",
    "works",
    "at",
    "who",
    "what",
    "which",
    "many",
    "average",
    "number",
    "of",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!:'-"
POSITIONS = 64
SPECIAL = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "cls_token": "<s>",
    "sep_token": "</s>",
}
LANGUAGES = (
    "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT "
    "lv_LV my_MM ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN"
)
# Two threads wait for each other longer than such a model computes.
torch.set_num_threads(1)
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    # Large enough that scores differ.
    "initializer_range": 0.4,
}
SPEAKERS = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": POSITIONS,
    "init_std": 1.0,
}


def bert_words(limit: int | None = POSITIONS, **options) -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [piece for letter in LETTERS for piece in (letter, f"##{letter}")]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*special, *pieces, *WORDS]))}
    words = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.decoder = decoders.WordPiece()
    words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        # transformers 5 leaves token types out where nothing is said of them.
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **({} if limit is None else {"model_max_length": limit}),
        **options,
    )


def byte_words(**options) -> PreTrainedTokenizerFast:
    """Bytes as RoBERTa has them, with a few merges."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "a"), ("i", "s"), ("e", "r"), ("o", "r")]
    joined = [a + b for a, b in merges]
    vocabulary = {word: i for i, word in enumerate([*special, *alphabet, *joined])}
    words = Tokenizer(models.BPE(vocabulary, merges))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    return PreTrainedTokenizerFast(tokenizer_object=words, **SPECIAL, **options)


def unigrams(*codes: str) -> Tokenizer:
    """Words and letters, and the codes of languages, in the order of mBART's vocabulary."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS, *(f"▁{word}" for word in WORDS)]
    scores = [(piece, -float(i % 7) - 1) for i, piece in enumerate(dict.fromkeys(pieces))]
    words = Tokenizer(models.Unigram([*scores, *((code, 0.0) for code in (*codes, "<mask>"))], 3))
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.decoder = decoders.Metaspace()
    return words


def speaker_words(template: str | None = "$A </s>") -> PreTrainedTokenizerFast:
    words = unigrams()
    if template:
        ends = [("<s>", 0), ("</s>", 2)]
        words.post_processor = processors.TemplateProcessing(template, special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=POSITIONS, **SPECIAL)


def save(directory: Path, model, tokenizer) -> None:
    model.eval().save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def token_classifier(directory: Path) -> None:
    torch.manual_seed(3)
    words = bert_words()
    labels = dict(enumerate(("O", "B-PER", "I-PER", "B-LOC", "I-LOC")))
    config = BertConfig(
        vocab_size=len(words), max_position_embeddings=POSITIONS, id2label=labels, **SHAPE
    )
    save(directory, BertForTokenClassification(config), words)


def convolutional_token_classifier(directory: Path) -> None:
    """Its answers change with the padding beside a text."""
    torch.manual_seed(4)
    words = bert_words()
    config = ConvBertConfig(
        vocab_size=len(words),
        max_position_embeddings=POSITIONS,
        num_labels=4,
        head_ratio=1,
        **SHAPE,
    )
    save(directory, ConvBertForTokenClassification(config), words)


def masked(directory: Path) -> None:
    torch.manual_seed(5)
    words = bert_words()
    config = BertConfig(vocab_size=len(words), max_position_embeddings=POSITIONS, **SHAPE)
    save(directory, BertForMaskedLM(config), words)


def features(directory: Path) -> None:
    torch.manual_seed(6)
    words = bert_words()
    config = BertConfig(vocab_size=len(words), max_position_embeddings=POSITIONS, **SHAPE)
    save(directory, BertModel(config), words)


def reader(directory: Path) -> None:
    torch.manual_seed(7)
    words = bert_words()
    config = BertConfig(vocab_size=len(words), max_position_embeddings=POSITIONS, **SHAPE)
    save(directory, BertForQuestionAnswering(config), words)


def roberta_reader(directory: Path) -> None:
    """Its positions start after the padding index, and its tokenizer knows no limit."""
    torch.manual_seed(8)
    words = byte_words(model_input_names=["input_ids", "attention_mask"])
    config = RobertaConfig(
        vocab_size=len(words),
        max_position_embeddings=400,
        pad_token_id=1,
        type_vocab_size=1,
        **SHAPE,
    )
    save(directory, RobertaForQuestionAnswering(config), words)


def left_reader(directory: Path) -> None:
    """Padded on the left, so the context comes first."""
    torch.manual_seed(9)
    words = bert_words(padding_side="left")
    config = BertConfig(vocab_size=len(words), max_position_embeddings=POSITIONS, **SHAPE)
    save(directory, BertForQuestionAnswering(config), words)


def tapas(directory: Path) -> None:
    torch.manual_seed(10)
    directory.mkdir()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[EMPTY]"]
    pieces = [piece for letter in LETTERS for piece in (letter, f"##{letter}")]
    vocabulary = directory / "vocab.txt"
    vocabulary.write_text("\n".join(dict.fromkeys([*special, *pieces, *WORDS])) + "\n")
    words = TapasTokenizer(str(vocabulary), model_max_length=POSITIONS)
    config = TapasConfig(
        vocab_size=len(words),
        max_position_embeddings=POSITIONS,
        type_vocab_sizes=[3, 32, 32, 2, 32, 32, 10],
        num_aggregation_labels=4,
        aggregation_labels={0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
        no_aggregation_label_index=0,
        select_one_column=True,
        **SHAPE,
    )
    save(directory, TapasForQuestionAnswering(config), words)


def t5(directory: Path) -> None:
    torch.manual_seed(11)
    words = speaker_words()
    config = T5Config(
        vocab_size=len(words),
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        initializer_factor=3.0,
    )
    save(directory, T5ForConditionalGeneration(config), words)
    edit(
        directory / "config.json",
        task_specific_params={
            "summarization": {
                "early_stopping": True,
                "length_penalty": 2.0,
                "max_length": 24,
                "min_length": 6,
                "no_repeat_ngram_size": 3,
                "num_beams": 4,
                "prefix": "summarize: ",
            },
            "translation_en_to_de": {"max_length": 12, "prefix": "translate English to German: "},
        },
    )


def _bart(**changes) -> BartConfig:
    options = {
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": 2,
        **SPEAKERS,
        **changes,
    }
    return BartConfig(**options)


def bart(directory: Path) -> None:
    """Its generation settings are in config.json alone, as older models have them."""
    torch.manual_seed(12)
    words = speaker_words("<s> $A </s>")
    save(directory, BartForConditionalGeneration(_bart(vocab_size=len(words))), words)
    (directory / "generation_config.json").unlink()
    edit(
        directory / "config.json",
        num_beams=3,
        max_length=30,
        min_length=8,
        no_repeat_ngram_size=3,
        prefix=" ",
    )


def marian(directory: Path) -> None:
    torch.manual_seed(13)
    words = speaker_words()
    config = MarianConfig(
        vocab_size=len(words),
        decoder_vocab_size=len(words),
        pad_token_id=1,
        eos_token_id=2,
        forced_eos_token_id=2,
        decoder_start_token_id=1,
        **SPEAKERS,
    )
    model = MarianMTModel(config)
    model.generation_config.bad_words_ids = [[1]]
    model.generation_config.num_beams = 4
    model.generation_config.max_length = 20
    save(directory, model, words)


def mbart(directory: Path) -> None:
    """Speaks several languages: which two, a request or the task's name says."""
    torch.manual_seed(14)
    directory.mkdir()
    unigrams(*LANGUAGES.split()).save(str(directory / "raw.json"))
    tokenizer = MBartTokenizerFast(
        tokenizer_file=str(directory / "raw.json"), src_lang="en_XX", model_max_length=POSITIONS
    )
    (directory / "raw.json").unlink()
    config = MBartConfig(
        vocab_size=len(tokenizer),
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
        **SPEAKERS,
    )
    save(directory, MBartForConditionalGeneration(config), tokenizer)


def gpt2(directory: Path) -> None:
    _gpt2(directory, speaker_words(None))


def gpt2_with_a_beginning(directory: Path) -> None:
    """Its tokenizer begins each prompt with a token of its own."""
    _gpt2(directory, speaker_words("<s> $A"))


def _gpt2(directory: Path, words: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(15)
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=POSITIONS,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=0.4,
    )
    save(directory, GPT2LMHeadModel(config), words)


MODELS = {
    "token-classifier": token_classifier,
    "convolutional": convolutional_token_classifier,
    "masked": masked,
    "features": features,
    "reader": reader,
    "roberta-reader": roberta_reader,
    "left-reader": left_reader,
    "tapas": tapas,
    "t5": t5,
    "bart": bart,
    "marian": marian,
    "mbart": mbart,
    "gpt2": gpt2,
    "gpt2-with-a-beginning": gpt2_with_a_beginning,
}


def build(directory: Path) -> None:
    for name, make in MODELS.items():
        make(directory / name)
