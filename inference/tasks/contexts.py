"""A question with its context as windows, each as long as the model reads at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from fault import Fault
from tasks.encoder import MOST_WINDOWS, Encoded
from tasks.spans import Span

# The pipeline's, where the caller says nothing.
WINDOW = 384
STRIDE = 128
LONGEST_QUESTION = 64


@dataclass(frozen=True)
class Asked:
    """A question, and the text that holds its answer."""

    question: str
    context: str


@dataclass(frozen=True)
class Window:
    """A question with as much of its context as the model reads at once."""

    encoded: Encoded
    encoding: Encoding
    # The tokens at which an answer may begin or end.
    eligible: NDArray[np.bool_]


class Contexts:
    """Makes windows of at most `limit` tokens, and finds in the context what they tell."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, limit: int | None) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        # Tokenizers that pad on the left have the context first.
        self._question_first = tokenizer.padding_side == "right"

    def windows(self, asked: Asked, parameters: Mapping[str, Any]) -> list[Window]:
        """All windows that it takes; raise a client's Fault where they would be none or too many.

        Only a question that leaves its context too little room is cut.
        """
        size = min(parameters.get("max_seq_len", WINDOW), self._limit or math.inf)
        stride = parameters.get("doc_stride", min(size // 2, STRIDE))
        if stride > size:
            raise Fault(
                "invalid_parameter",
                f"parameters.doc_stride must be at most the {size} tokens of a window, got "
                f"{stride}",
                field="parameters.doc_stride",
            )
        (window,) = self._tokenised(asked)
        length = len(window.encoded.ids)
        if length <= size:
            return [window]
        question, context = self._tokens_of_both(window.encoding)
        room, cut = size - length + len(context), False
        most = parameters.get("max_question_len", min(LONGEST_QUESTION, size // 2))
        if room <= stride and len(question) > most:
            end = window.encoding.offsets[question[most - 1]][1]
            asked, cut = Asked(asked.question[:end], asked.context), True
            room += len(question) - most
        if room < 1:
            raise Fault(
                "too_long",
                f"the question leaves no room for its context in {size} tokens: shorten it, or "
                "change parameters.max_question_len or max_seq_len",
                field="inputs",
            )
        stride = stride if stride < room else room // 2
        count = math.ceil((len(context) - stride) / (room - stride))
        if count > MOST_WINDOWS:
            raise Fault(
                "too_long",
                f"a context makes {count} windows of {size} tokens, at most {MOST_WINDOWS} are "
                "read: shorten it, or lower parameters.doc_stride",
                field="inputs",
            )
        return self._tokenised(
            asked,
            cut=cut,
            truncation="only_second" if self._question_first else "only_first",
            max_length=size,
            stride=stride,
            return_overflowing_tokens=True,
        )

    def characters(self, encoding: Encoding, span: Span, align: bool) -> tuple[int, int]:
        """Where a span of tokens begins and ends in the context, widened to whole words."""
        words = encoding.token_to_word(span.first), encoding.token_to_word(span.last)
        if align and words[0] is not None and words[1] is not None:
            context = 1 if self._question_first else 0
            first, last = (encoding.word_to_chars(word, context) for word in words)
            if first is not None and last is not None:
                return first[0], last[1]
        return encoding.offsets[span.first][0], encoding.offsets[span.last][1]

    def _tokenised(self, asked: Asked, *, cut: bool = False, **options: object) -> list[Window]:
        pair = (asked.question, asked.context)
        first, second = pair if self._question_first else pair[::-1]
        batch = self._tokenizer([first], [second], verbose=False, **options)
        columns = {k: v for k, v in batch.items() if k in self._tokenizer.model_input_names}
        return [
            Window(
                # One window tells of the cut, so that the question is counted once.
                Encoded({name: rows[i] for name, rows in columns.items()}, cut=cut and i == 0),
                encoding,
                self._eligible(encoding),
            )
            for i, encoding in enumerate(batch.encodings)
        ]

    def _tokens_of_both(self, encoding: Encoding) -> tuple[list[int], list[int]]:
        parts: tuple[list[int], list[int]] = ([], [])
        for i, part in enumerate(encoding.sequence_ids):
            if part is not None:
                parts[part].append(i)
        return parts if self._question_first else parts[::-1]

    def _eligible(self, encoding: Encoding) -> NDArray[np.bool_]:
        ids = np.asarray(encoding.ids)
        # With the context first, the pipeline rules out nothing.
        eligible = (
            np.asarray([part == 1 for part in encoding.sequence_ids])
            if self._question_first
            else np.ones(len(ids), dtype=bool)
        )
        if self._tokenizer.cls_token_id is not None:
            # Models put the answer here where there is none.
            eligible |= ids == self._tokenizer.cls_token_id
        return eligible
