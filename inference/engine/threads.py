"""How many threads a worker may take, so that all workers together fit the machine."""

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
# Where the machine still has the first version of control groups.
OLD_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
OLD_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def threads_per_worker() -> int:
    """The cores that this container may use, shared among its workers; at least 1.

    The model server starts a worker a core where SAGEMAKER_MODEL_SERVER_WORKERS does not say.
    """
    cores = available_cores()
    workers = os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
    return max(1, cores // int(workers)) if workers.isdecimal() and int(workers) else 1


def available_cores() -> int:
    """What affinity and the container's CPU quota leave, a part of a core counted as one."""
    cores = len(os.sched_getaffinity(0))
    quota = _quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota() -> float | None:
    for files in ((QUOTA,), (OLD_QUOTA, OLD_PERIOD)):
        try:
            words = " ".join(file.read_text() for file in files).split()
        except OSError:
            continue
        # "max" and -1 stand for no quota.
        return int(words[0]) / int(words[1]) if words[0].isdecimal() else None
    return None


def limit_torch() -> None:
    """Keep torch, in this process, to its worker's threads."""
    # Here, since an engine without torch counts threads as well.
    import torch

    torch.set_num_threads(threads_per_worker())
