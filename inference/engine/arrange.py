"""Puts sequences of like length together, so that a forward pass computes little padding."""

from collections.abc import Iterator, Sequence


def batches(lengths: Sequence[int], budget: int, most_padding: float) -> Iterator[list[int]]:
    """Yield the indices of `lengths`, each once, shortest first, as batches.

    A batch, padded to its longest, holds at most `budget` tokens, of which at most the share
    `most_padding` (from 0 to 1) is padding. A sequence longer than the budget goes alone.
    """
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        length = lengths[index]
        padded = (len(batch) + 1) * length
        if batch and (padded > budget or padded - tokens - length > most_padding * padded):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += length
    if batch:
        yield batch
