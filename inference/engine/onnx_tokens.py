"""A model's tokenizer from its files alone, without transformers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from engine.classifier import Encoded, Text, Truncation
from engine.padding import padded

# What a graph may take, and where an encoding has it.
FEATURES = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}


@dataclass(frozen=True)
class FileTokens:
    """Tokenises with `onnx/tokenizer.json` as `onnx/tokens.json` says; both made by packaging.

    `padding` names the inputs of the graph, each with the value that fills a shorter sequence.
    """

    tokenizer: Tokenizer
    limit: int | None
    padding: Mapping[str, int]
    padding_side: str = "right"
    truncation_side: str = "right"

    @classmethod
    def load(cls, onnx_dir: Path) -> "FileTokens":
        facts = json.loads((onnx_dir / "tokens.json").read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(onnx_dir / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(tokenizer, **facts)

    def encode(self, texts: Sequence[Text], truncation: Truncation) -> list[Encoded]:
        encodings = self._encode(texts)
        if truncation == "never" or self.limit is None:
            return [self._encoded(encoding) for encoding in encodings]
        return [
            self._encoded(encoding)
            if len(encoding) <= self.limit
            else self._cut(text, encoding, truncation)
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def windows(self, text: str, overlap: int) -> list[Encoded]:
        if self.limit is None:
            return [self._encoded(self.tokenizer.encode(text))]
        # A window has to move on: a short limit shares less than was asked for.
        room = self.limit - self.tokenizer.num_special_tokens_to_add(is_pair=False)
        self.tokenizer.enable_truncation(self.limit, stride=min(overlap, max(0, room - 1)))
        try:
            first = self.tokenizer.encode(text)
        finally:
            self.tokenizer.no_truncation()
        return [self._encoded(window) for window in (first, *first.overflowing)]

    def pad(self, batch: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
        features = [encoded.features for encoded in batch]
        return padded(features, self.padding, left=self.padding_side == "left")

    def _encode(self, texts: Sequence[Text]) -> list[Encoding]:
        # The threads of encode_batch cost more than one text does.
        if len(texts) == 1:
            (text,) = texts
            pair = (text, None) if isinstance(text, str) else text
            return [self.tokenizer.encode(*pair)]
        return self.tokenizer.encode_batch(list(texts))

    def _cut(self, text: Text, whole: Encoding, truncation: Truncation) -> Encoded:
        self.tokenizer.enable_truncation(
            self.limit, strategy=truncation, direction=self.truncation_side
        )
        try:
            (encoding,) = self._encode([text])
        except Exception as error:
            # The library raises no narrower class where what may be cut is too short to be cut.
            if "Truncation error" not in str(error):
                raise
            return self._encoded(whole)
        finally:
            self.tokenizer.no_truncation()
        return self._encoded(encoding, cut=True)

    def _encoded(self, encoding: Encoding, *, cut: bool = False) -> Encoded:
        return Encoded({name: getattr(encoding, FEATURES[name]) for name in self.padding}, cut)
