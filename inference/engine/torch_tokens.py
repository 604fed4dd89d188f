"""The tokenizer of transformers, for the torch engine: texts, pairs and windows of long texts."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from engine.classifier import Encoded, Text, Truncation
from engine.padding import padded

Features = dict[str, list[int]]


class TorchTokens:
    """A tokenizer that cuts at what the model reads."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, limit: int | None) -> None:
        self.limit = limit
        self._tokenizer = tokenizer
        self._left = tokenizer.padding_side == "left"
        self._fill = {
            "input_ids": tokenizer.pad_token_id or 0,
            "token_type_ids": tokenizer.pad_token_type_id,
        }

    def encode(self, texts: Sequence[Text], truncation: Truncation) -> list[Encoded]:
        encoded: list[Encoded] = [Encoded({})] * len(texts)
        # The tokenizer takes a list of texts or a list of pairs, not both in one.
        for pairs in (False, True):
            chosen = [i for i, text in enumerate(texts) if isinstance(text, tuple) is pairs]
            self._put(encoded, chosen, texts)
            if truncation != "never" and self.limit is not None:
                long = [i for i in chosen if self._can_cut(encoded[i], texts[i], truncation)]
                self._put(encoded, long, texts, truncation=truncation, max_length=self.limit)
        return encoded

    def windows(self, text: str, overlap: int) -> list[Encoded]:
        (whole,) = self.encode([text], "never")
        if self.limit is None or len(whole) <= self.limit:
            return [whole]
        if self._tokenizer.is_fast:
            batch = self._tokenizer(
                [text],
                truncation=True,
                max_length=self.limit,
                stride=overlap,
                return_overflowing_tokens=True,
                verbose=False,
            )
            batch.pop("overflow_to_sample_mapping")
            return [Encoded(row) for row in _rows(batch)]
        return [Encoded(row) for row in self._windows_in_python(text, self.limit, overlap)]

    def pad(self, batch: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
        return padded([one.features for one in batch], self._fill, left=self._left)

    def _put(
        self, encoded: list[Encoded], chosen: list[int], texts: Sequence[Text], **options: object
    ) -> None:
        if not chosen:
            return
        rows = _rows(self._tokenizer([texts[i] for i in chosen], verbose=False, **options))
        for i, row in zip(chosen, rows, strict=True):
            encoded[i] = Encoded(row, cut=bool(options))

    def _can_cut(self, whole: Encoded, text: Text, truncation: Truncation) -> bool:
        excess = len(whole) - (self.limit or 0)
        if excess <= 0 or truncation != "only_first" or isinstance(text, str):
            return excess > 0
        premise = self._tokenizer(text[0], add_special_tokens=False, verbose=False)["input_ids"]
        return len(premise) > excess

    def _windows_in_python(self, text: str, limit: int, overlap: int) -> Iterator[Features]:
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        room = limit - self._tokenizer.num_special_tokens_to_add(pair=False)
        for start in range(0, max(1, len(ids) - overlap), room - overlap):
            yield dict(self._tokenizer.prepare_for_model(ids[start : start + room], verbose=False))


def _rows(batch: Mapping[str, Sequence[list[int]]]) -> list[Features]:
    names = list(batch)
    return [dict(zip(names, row, strict=True)) for row in zip(*batch.values(), strict=True)]
