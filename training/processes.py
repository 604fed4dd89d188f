"""The processes that torchrun starts: one a device, of which the first speaks and saves."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState
from torch import distributed

# One process may tokenise, or train a head, for hours while the others wait.
PATIENCE = timedelta(days=5)


class Processes:
    """All processes of this training; without torchrun there is one."""

    def __init__(self) -> None:
        # Joins the group that torchrun's variables describe: nccl on GPUs, else gloo.
        state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
        self.count: int = state.num_processes
        self.index: int = state.process_index
        self.index_here: int = state.local_process_index
        self.count_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.count > 1 else 1

    @property
    def first(self) -> bool:
        return self.index == 0

    def say(self, text: str) -> None:
        """Print once, however many processes there are."""
        if self.first:
            print(text, flush=True)

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.count == 1:
            return flag
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        given = torch.tensor(int(flag), device=device)
        distributed.all_reduce(given, op=distributed.ReduceOp.MAX)
        return bool(given.item())

    def common(self, numbers: set[int]) -> set[int]:
        """The numbers that every process gives."""
        if self.count == 1:
            return numbers
        of_each: list[set[int]] = [set()] * self.count
        distributed.all_gather_object(of_each, numbers)
        return set.intersection(*of_each)

    @contextmanager
    def shared_folder(self) -> Iterator[Path]:
        """A scratch folder that the processes of one machine share."""
        with tempfile.TemporaryDirectory(prefix="training-") as own:
            if self.count == 1:
                yield Path(own)
                return
            folders: list[str] = [""] * self.count
            distributed.all_gather_object(folders, own)
            yield Path(folders[self.index - self.index_here])
            self.wait()
