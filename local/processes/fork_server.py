"""Starts serving processes by forking one that has imported torch and transformers already.

The imports are most of what a start costs. They are the same for every model, so one process does
them once; each model's own code, the toolkit included, is imported after the fork. The server asks
over the socket on stdin: one message a process, with the ends of the pipes that it holds.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from local.processes import supervisor

READY = b"ready"
FORKED = b"forked"
LONGEST_REQUEST_BYTES = 128 * 1024


@dataclass(frozen=True)
class Ends:
    """File descriptors of one process's pipes."""

    stdin: int
    stdout: int
    status: int

    def close(self) -> None:
        for end in (self.stdin, self.stdout, self.status):
            os.close(end)


class Forked:
    """A child of this process, as the supervisor watches one."""

    def __init__(self, run: Callable[[], NoReturn]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            run()

    def poll(self) -> int | None:
        return self._collect(os.WNOHANG)

    def wait(self) -> int | None:
        return self._collect(0)

    def _collect(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def main() -> None:
    """Forks a process for each message, until the server is gone."""
    given = set(os.environ)
    import numpy  # noqa: F401
    import setproctitle
    import torch  # noqa: F401
    import transformers.pipelines  # noqa: F401

    from local import serving  # noqa: F401

    set_by_imports = {name: os.environ[name] for name in set(os.environ) - given}
    # The first call finds the memory that the title may take, while the environment is untouched.
    setproctitle.getproctitle()
    # What is here now is never looked at by the collector again, so that its pages stay shared.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    requests = socket.socket(fileno=0)
    with contextlib.suppress(BrokenPipeError):
        requests.sendall(READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST_BYTES, 3)
        if not message:
            return
        ends = Ends(*descriptors)
        if os.fork() == 0:
            requests.detach()
            request = json.loads(message)
            request["environment"] |= set_by_imports
            _supervise(request, ends)
        ends.close()
        with contextlib.suppress(BrokenPipeError):
            requests.sendall(FORKED)


def _supervise(request: dict[str, Any], ends: Ends) -> NoReturn:
    status = 1
    try:
        os.setsid()
        for descriptor, number in ((ends.stdin, 0), (ends.stdout, 1), (ends.stdout, 2)):
            os.dup2(descriptor, number)
        status = supervisor.supervise(
            Path(request["pid_file"]), lambda: Forked(lambda: _serve(request, ends))
        )
    finally:
        os.write(ends.status, str(status).encode())
        os._exit(status)


def _serve(request: dict[str, Any], ends: Ends) -> NoReturn:
    status = 1
    try:
        _become_its_own(request, ends)
        from local import serving

        serving.main(request["arguments"])
        status = 0
    except BaseException:  # noqa: BLE001 - whatever the model's code raises, this process ends here
        traceback.print_exc()
    finally:
        os._exit(status)


def _become_its_own(request: dict[str, Any], ends: Ends) -> None:
    """Everything that a process which was started, not forked, has of its own."""
    import numpy as np
    import setproctitle

    ends.close()
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    random.seed()
    np.random.seed()
    sys.argv = ["local.serving", *request["arguments"]]
    setproctitle.setproctitle(" ".join([sys.executable, "-m", *sys.argv]))


if __name__ == "__main__":
    main()
