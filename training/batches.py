"""The order in which rows are trained on: batches of like length, the same for the same seed."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

# Updates whose rows are sorted together: more of them pad less, fewer mix rows better.
POOLED_UPDATES = 50

Rows = NDArray[np.int64]


class Batches(Sampler[list[int]]):
    """This process's batches of an epoch.

    An update takes `batch_size` rows for each process and pass; those of the last update of an
    epoch are what is left, filled up from the epoch's first rows to one for each process and pass.
    So each epoch has the same number of passes for every process, whichever transformers asks.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        *,
        batch_size: int,
        passes: int,
        seed: int,
        processes: int = 1,
        process: int = 0,
    ) -> None:
        self.lengths = lengths
        self.passes = passes
        self.seed = seed
        self.processes = processes
        self.process = process
        self.rows_per_update = batch_size * passes * processes
        self.updates = math.ceil(len(lengths) / self.rows_per_update)
        self.epoch = 0

    def __len__(self) -> int:
        return self.updates * self.passes

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.of_epoch(self.epoch):
            for batch in self.passes_of(rows):
                yield batch.tolist()

    def of_one_process(self) -> "Batches":
        """The same updates for a process that takes all rows of them."""
        rows = self.rows_per_update // self.passes
        return Batches(self.lengths, batch_size=rows, passes=self.passes, seed=self.seed)

    def of_epoch(self, epoch: int) -> list[Rows]:
        """The rows of each update, of like length and, in each, from short to long."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.lengths))
        pool = self.rows_per_update * POOLED_UPDATES
        by_length = [
            part[np.argsort(self.lengths[part], kind="stable")]
            for part in (order[start : start + pool] for start in range(0, len(order), pool))
        ]
        sorted_rows = np.concatenate(by_length)
        whole = len(order) // self.rows_per_update * self.rows_per_update
        updates = list(sorted_rows[:whole].reshape(-1, self.rows_per_update))
        updates = [updates[i] for i in random.permutation(len(updates))]
        if whole < len(order):
            updates.append(self._filled(sorted_rows[whole:], order))
        return updates

    def passes_of(self, rows: Rows) -> list[Rows]:
        """This process's share of an update, in equal parts of like length."""
        parts = np.array_split(rows, self.passes)
        return [part[self.process :: self.processes] for part in parts]

    def _filled(self, rows: Rows, order: Rows) -> Rows:
        even = self.processes * self.passes if self.processes > 1 else 1
        wanted = max(math.ceil(len(rows) / even) * even, self.processes * self.passes)
        return np.concatenate([rows, np.resize(order, wanted - len(rows))])
