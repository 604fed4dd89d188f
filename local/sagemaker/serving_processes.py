"""Starts serving processes, forked where that comes to the same as starting one."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from local.processes.children import Child, Children
from local.processes.forking import CannotFork, ForkServer

# Read after the fork: by the toolkit, by handlers, by boto3.
_READ_LATER = ("AWS_", "LECTERN_", "SAGEMAKER_")
_READ_AT_IMPORT = {"AWS_NEW_RETRIES_2026", "SAGEMAKER_JOB_NAME"}
_READ_LATER_BY_THE_TOOLKIT = {"HF_API_TOKEN", "HF_MODEL_ID", "HF_MODEL_REVISION", "HF_TASK"}


class ServingProcesses:
    """Every serving process of this machine."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._fork_servers: dict[frozenset[tuple[str, str]], ForkServer] = {}
        self._lock = threading.Lock()
        self._closed = False

    def start(
        self,
        model: Path,
        port: int,
        *,
        environment: Mapping[str, str],
        usual: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str], None],
    ) -> Child:
        """`python -m local.serving` over a model's directory; raises ChildrenClosed.

        A process is forked if its environment differs from the usual one by nothing that torch or
        transformers may read when they are imported.
        """
        arguments = ["--model-dir", str(model), "--port", str(port)]
        server = self._fork_server(usual) if _decides(environment) == _decides(usual) else None
        if server is not None and server.wait_until_ready():
            fork = partial(
                server.fork,
                arguments=arguments,
                code=model / "code",
                environment=environment,
                directory=directory,
            )
            with contextlib.suppress(CannotFork):
                return self._children.add(fork, on_line)
        return self._children.start(
            [sys.executable, "-P", "-m", "local.serving", *arguments],
            environment=environment,
            directory=directory,
            on_line=on_line,
        )

    def stop(self) -> None:
        """Ends what forks; the processes themselves end with the other children."""
        with self._lock:
            self._closed = True
            for server in self._fork_servers.values():
                server.stop()

    def _fork_server(self, environment: Mapping[str, str]) -> ForkServer | None:
        # Frameworks of macOS, which torch loads, do not survive a fork.
        if sys.platform != "linux":
            return None
        decides = _decides(environment)
        with self._lock:
            if self._closed:
                return None
            if decides not in self._fork_servers:
                self._fork_servers[decides] = ForkServer(environment)
            return self._fork_servers[decides]


def _decides(environment: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """What the imports may depend on."""
    return frozenset(
        (name, value)
        for name, value in environment.items()
        if name in _READ_AT_IMPORT
        or not (name.startswith(_READ_LATER) or name in _READ_LATER_BY_THE_TOOLKIT)
    )
