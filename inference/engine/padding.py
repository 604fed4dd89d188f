"""Makes arrays of tokenised sequences, as long as the longest of them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def padded(
    rows: Sequence[Mapping[str, Sequence[int]]], fill: Mapping[str, int], *, left: bool = False
) -> dict[str, NDArray[np.int64]]:
    """Arrays of shape (rows, tokens of the longest); what `fill` does not name is filled with 0."""
    arrays = {}
    for name in rows[0]:
        longest = max(len(row[name]) for row in rows)
        array = np.full((len(rows), longest), fill.get(name, 0), dtype=np.int64)
        for i, row in enumerate(rows):
            start = longest - len(row[name]) if left else 0
            array[i, start : start + len(row[name])] = row[name]
        arrays[name] = array
    return arrays
