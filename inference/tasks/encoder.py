"""An encoder with its tokenizer: texts to sequences, sequences to the model's output a token."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.arrange import batches
from engine.padding import padded
from engine.pretrained import positions
from engine.torch_classifier import BUDGETS, MOST_PADDING
from fault import Fault

# What rounding changes, as a share of the largest output, and no more.
ROUNDING = 1e-4
PROBES = ("a", "a a a a a a a a a")
# For one text: 300 kB of English in windows of 384 tokens make about 300.
MOST_WINDOWS = 1_000

Output = torch.Tensor
Result = TypeVar("Result")

logger = logging.getLogger("lectern")


@dataclass(frozen=True)
class Encoded:
    """A sequence as the model takes it, and what leads from its tokens back to the text.

    `cut` tells that the text lost its end.
    """

    features: Mapping[str, list[int]]
    special: Sequence[int] = ()
    offsets: Sequence[tuple[int, int]] | None = None
    cut: bool = False

    @property
    def ids(self) -> list[int]:
        return self.features["input_ids"]


class Encoder:
    """Runs sequences of like length together, where padding leaves the answers as they are.

    `select` makes of what the model returns a tensor of shape (sequences, tokens, any), and
    `most_tokens` bounds a forward pass of a model that returns much a token.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        select: Callable[[Any], Output],
        *,
        most_tokens: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.limit = positions(model, tokenizer)
        self._model = model
        self._select = select
        self._takes = inspect.signature(model.forward).parameters
        budget = BUDGETS[model.device.type]
        self._budget = min(budget, most_tokens or budget) if self._pads_exactly() else 0

    def encode(self, texts: Sequence[str], *, truncation: bool = True) -> list[Encoded]:
        """One sequence a text, cut at the model's limit unless `truncation` is off."""
        if not texts:
            return []
        encoded = self.tokenise(texts)
        long = [i for i, one in enumerate(encoded) if self.limit and len(one.ids) > self.limit]
        if long and truncation:
            cut = self.tokenise([texts[i] for i in long], truncation=True, max_length=self.limit)
            for i, one in zip(long, cut, strict=True):
                encoded[i] = Encoded(one.features, one.special, one.offsets, cut=True)
        return encoded

    def tokenise(self, texts: Sequence[str], **options: object) -> list[Encoded]:
        """The sequences that the tokenizer makes with these options, uncut without any."""
        columns = dict(
            self.tokenizer(
                list(texts),
                return_special_tokens_mask=True,
                return_offsets_mapping=self.tokenizer.is_fast,
                verbose=False,
                **options,
            )
        )
        special = columns.pop("special_tokens_mask")
        offsets = columns.pop("offset_mapping", [None] * len(special))
        columns.pop("overflow_to_sample_mapping", None)
        return [
            Encoded({name: rows[i] for name, rows in columns.items()}, special[i], offsets[i])
            for i in range(len(special))
        ]

    def unfit(self, encoded: Sequence[Encoded]) -> Fault | None:
        """The Fault of texts that are too long, or have nothing that the model could read."""
        lengths = [len(one.ids) for one in encoded]
        if self.limit is not None and max(lengths, default=0) > self.limit:
            return Fault(
                "too_long",
                f"a text has {max(lengths)} tokens, the model reads {self.limit}: shorten it, or "
                "leave truncation on",
                field="inputs",
            )
        if 0 in lengths:
            return Fault("invalid_input", "a text has no token for this model", field="inputs")
        return None

    def run(
        self,
        asked: Sequence[Sequence[Encoded] | Fault],
        reduce: Callable[[int, Encoded, Output], Result | Fault],
    ) -> list[list[Result] | Fault]:
        """What `reduce` makes of each question's sequences, in order, or the question's Fault.

        All sequences run together. `reduce` gets the number of the question, the sequence, and
        the model's output of shape (1, tokens, any), in fp32 on the CPU.
        """
        flat = [
            (question, one)
            for question, sequences in enumerate(asked)
            if not isinstance(sequences, Fault)
            for one in sequences
        ]
        results: dict[int, Result | Fault] = {}
        for i, output in self._outputs([one for _, one in flat]):
            results[i] = output if isinstance(output, Fault) else reduce(*flat[i], output)
        in_order = (results[i] for i in range(len(flat)))
        return [
            sequences
            if isinstance(sequences, Fault)
            else _all_or_fault(list(islice(in_order, len(sequences))))
            for sequences in asked
        ]

    def _outputs(self, encoded: Sequence[Encoded]) -> Iterator[tuple[int, Output | Fault]]:
        # One batch after the other is reduced: together, outputs may be larger than the memory.
        padding = MOST_PADDING[self._model.device.type]
        for batch in batches([len(one.ids) for one in encoded], self._budget, padding):
            yield from self._batch(batch, encoded)

    def _batch(
        self, batch: Sequence[int], encoded: Sequence[Encoded]
    ) -> Iterator[tuple[int, Output | Fault]]:
        try:
            output = self._forward([encoded[i] for i in batch])
        except (RuntimeError, ValueError, IndexError) as error:
            if len(batch) > 1:
                for i in batch:
                    yield from self._batch([i], encoded)
                return
            logger.warning("a sequence cannot be computed: %s", error)
            yield (
                batch[0],
                Fault("model_output", "the model cannot compute this input", fault="server"),
            )
            return
        for row, i in enumerate(batch):
            yield i, output[row : row + 1, : len(encoded[i].ids)]

    @torch.inference_mode()
    def _forward(self, encoded: Sequence[Encoded]) -> Output:
        fill = {
            "input_ids": self.tokenizer.pad_token_id or 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
        }
        # On the right, whatever the tokenizer prefers: positions then count as without padding.
        inputs = {
            name: torch.from_numpy(array).to(self._model.device)
            for name, array in padded([one.features for one in encoded], fill).items()
            if name in self._takes
        }
        options = {"use_cache": False} if "use_cache" in self._takes else {}
        return self._select(self._model(**inputs, **options)).float().cpu()

    def _pads_exactly(self) -> bool:
        """Whether a sequence's output is the same alone and beside a longer one.

        Convolutions and Fourier transforms, say, read what lies behind the end of a sequence.
        """
        if self.tokenizer.pad_token_id is None:
            return False
        short, long = self.encode(PROBES)
        if "attention_mask" not in short.features or not 0 < len(short.ids) < len(long.ids):
            return False
        alone = self._forward([short])[0]
        beside = self._forward([short, long])[0, : len(short.ids)]
        return bool((alone - beside).abs().max() <= ROUNDING * alone.abs().max())


def not_finite() -> Fault:
    return Fault("model_output", "the model's scores are not finite", fault="server")


def _all_or_fault(results: list[Result | Fault]) -> list[Result] | Fault:
    kept: list[Result] = []
    for result in results:
        if isinstance(result, Fault):
            return result
        kept.append(result)
    return kept
