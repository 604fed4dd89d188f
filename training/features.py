"""What a frozen encoder makes of each row, computed once, and a stand-in that gives it back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from encoded import EncodedRows, Padding
from processes import Processes

# Padded tokens a batch: what fits the caches of a CPU, and what fills a GPU.
TOKENS_A_BATCH = {"cpu": 512, "cuda": 32768}
ROWS_TO_TRY = 4
# Of logits through the stand-in and through the encoder.
TOLERANCE = 1e-5
FIELDS = ("pooler_output", "last_hidden_state")
# What a head that wants more of its encoder's answer may raise.
UNSUITED = (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError)

Autocast = Callable[[], AbstractContextManager[Any]]


def freeze(model: PreTrainedModel) -> None:
    """Leave only the head to train; the encoder stays in eval mode, whatever the model's mode."""
    body = model.base_model
    for parameter in body.parameters():
        parameter.requires_grad = False
    body.register_forward_pre_hook(lambda module, _: module.eval() and None)


class StandIn(nn.Module):
    """Takes the encoder's place: rows are asked for by number, as input_ids (rows, 1)."""

    def __init__(self, field: str, values: NDArray[np.float32]) -> None:
        super().__init__()
        self.field = field
        self.values = values

    def forward(self, input_ids: torch.Tensor, **_: object) -> BaseModelOutputWithPooling:
        found = torch.from_numpy(self.values[input_ids[:, 0].cpu().numpy()]).to(input_ids.device)
        # A head that reads the other field gets no number, which shows when it is tried.
        unread = torch.full_like(found, torch.nan)
        of_field = dict.fromkeys(FIELDS, unread) | {self.field: found}
        return BaseModelOutputWithPooling(
            last_hidden_state=of_field["last_hidden_state"][:, None, :],
            pooler_output=of_field["pooler_output"],
        )


def field_that_the_head_reads(
    model: PreTrainedModel, rows: EncodedRows, padding: Padding
) -> tuple[str | None, str]:
    """Which field of the encoder's answer the head reads, or None and why no one field will do."""
    body = model.base_model
    if body is model:
        return None, "its head is not apart from its encoder"
    model.eval()
    longest = np.argsort(-rows.lengths, kind="stable")[: ROWS_TO_TRY // 2]
    tried = np.union1d(longest, np.arange(min(len(rows), ROWS_TO_TRY // 2)))
    answers: list[Any] = []
    hook = body.register_forward_hook(lambda module, given, answer: answers.append(answer))
    with torch.inference_mode():
        batch = padding.pad([rows.inputs(i) for i in tried]).to(model.device)
        logits = model(**batch).logits
        hook.remove()
        for field in FIELDS:
            value = getattr(answers[0], field, None)
            if value is None:
                continue
            stand_in = StandIn(field, _first_token(value).float().cpu().numpy())
            try:
                with standing_in(model, stand_in):
                    numbers = torch.arange(len(tried), device=model.device)[:, None]
                    through = model(input_ids=numbers).logits
            except UNSUITED:
                continue
            if through.shape == logits.shape and torch.allclose(through, logits, atol=TOLERANCE):
                return field, ""
    return None, "its head reads more of the encoder's answer than the first token"


@contextmanager
def standing_in(model: PreTrainedModel, stand_in: StandIn) -> Iterator[None]:
    """While it lasts, the model has the stand-in where its encoder was."""
    body = model.base_model
    setattr(model, model.base_model_prefix, stand_in)
    try:
        yield
    finally:
        setattr(model, model.base_model_prefix, body)


def compute_features(
    model: PreTrainedModel,
    field: str,
    splits: Sequence[EncodedRows],
    padding: Padding,
    path: Path,
    processes: Processes,
    autocast: Autocast,
) -> NDArray[np.float32]:
    """The field of every row of the splits, one after another: (rows, hidden), in a file.

    The processes of one machine fill it together.
    """
    body = model.base_model.eval()
    with torch.inference_mode():
        first = getattr(body(**padding.pad([splits[0].inputs(0)]).to(model.device)), field)
    shape = (sum(map(len, splits)), first.shape[-1])
    if processes.index_here == 0:
        np.memmap(path, dtype=np.float32, mode="w+", shape=shape).flush()
    processes.wait()
    values = np.memmap(path, dtype=np.float32, mode="r+", shape=shape)
    start = 0
    for rows in splits:
        with torch.inference_mode(), autocast():
            for batch in _by_length(rows, processes, TOKENS_A_BATCH[model.device.type]):
                inputs = padding.pad([rows.inputs(i) for i in batch]).to(model.device)
                value = getattr(body(**inputs), field)
                values[start + batch] = _first_token(value).float().cpu().numpy()
        start += len(rows)
    values.flush()
    processes.wait()
    return values


def _by_length(rows: EncodedRows, processes: Processes, tokens: int) -> Iterator[NDArray[np.int64]]:
    """This process's rows in batches of like length, of so many padded tokens together."""
    order = np.argsort(rows.lengths, kind="stable")[processes.index_here :: processes.count_here]
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and rows.lengths[order[end]] * (end + 1 - start) <= tokens:
            end += 1
        yield order[start:end]
        start = end


def _first_token(value: torch.Tensor) -> torch.Tensor:
    return value[:, 0] if value.dim() == 3 else value
