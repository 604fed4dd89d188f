"""Starts Python processes, forked where that comes to the same as starting one."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from local.processes.children import Child, Children
from local.processes.early_imports import gains_by_early_imports
from local.processes.forking import CannotFork, ForkServer

# Read after the fork: by scripts, by the toolkits, by handlers, by boto3, by torch.distributed.
_READ_LATER = ("AWS_", "LECTERN_", "MASTER_", "PROCESSING_JOB_", "SAGEMAKER_", "SM_")
_READ_AT_IMPORT = {"AWS_NEW_RETRIES_2026", "SAGEMAKER_JOB_NAME"}
_READ_LATER_TOO = {
    *("HF_API_TOKEN", "HF_MODEL_ID", "HF_MODEL_REVISION", "HF_TASK"),
    *("PYTHONPATH", "TRAINING_JOB_ARN", "TRAINING_JOB_NAME"),
}
# It starts processes of its own, each of which imports for itself.
_STARTS_OTHERS = "torch.distributed.run"


class PythonProcesses:
    """The processes of containers on this machine."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._fork_servers: dict[frozenset[tuple[str, str]], ForkServer] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._installed = 0

    def serve(
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
        words = ["-P", "-m", "local.serving", "--model-dir", str(model), "--port", str(port)]
        return self._start(
            words,
            code=[model / "code"],
            environment=environment,
            usual=usual,
            directory=directory,
            on_line=on_line,
        )

    def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        usual: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str], None],
    ) -> Child:
        """Any command; raises ChildrenClosed.

        Forked is a Python script or module, under the same condition, if its code imports torch or
        transformers, sets no variable that those may read and installs nothing.
        """
        interpreter, *words = command
        code = _code(words, environment, directory) if interpreter == sys.executable else []
        if code and gains_by_early_imports(code):
            return self._start(
                words,
                code=code,
                environment=environment,
                usual=usual,
                directory=directory,
                on_line=on_line,
            )
        return self._children.start(
            list(command), environment=environment, directory=directory, on_line=on_line
        )

    def stop(self) -> None:
        """Ends what forks; the processes themselves end with the other children."""
        with self._lock:
            self._closed = True
            for server in self._fork_servers.values():
                server.stop()

    def _start(
        self,
        words: list[str],
        *,
        code: list[Path],
        environment: Mapping[str, str],
        usual: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str], None],
    ) -> Child:
        server = self._fork_server(usual) if _decides(environment) == _decides(usual) else None
        if server is not None and server.wait_until_ready():
            fork = partial(
                server.fork, words=words, code=code, environment=environment, directory=directory
            )
            with contextlib.suppress(CannotFork):
                return self._children.add(fork, on_line)
        return self._children.start(
            [sys.executable, *words],
            environment=environment,
            directory=directory,
            on_line=on_line,
        )

    def _fork_server(self, environment: Mapping[str, str]) -> ForkServer | None:
        # Frameworks of macOS, which torch loads, do not survive a fork.
        if sys.platform != "linux":
            return None
        decides = _decides(environment)
        installed = Path(sysconfig.get_path("purelib")).stat().st_mtime_ns
        with self._lock:
            if self._closed:
                return None
            if installed != self._installed:
                # What was imported is not what a process would import now.
                for server in self._fork_servers.values():
                    server.stop()
                self._fork_servers.clear()
                self._installed = installed
            if decides not in self._fork_servers:
                self._fork_servers[decides] = ForkServer(environment)
            return self._fork_servers[decides]


def _decides(environment: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """What the imports may depend on."""
    return frozenset(
        (name, value)
        for name, value in environment.items()
        if name in _READ_AT_IMPORT or not (name.startswith(_READ_LATER) or name in _READ_LATER_TOO)
    )


def _code(words: list[str], environment: Mapping[str, str], directory: Path) -> list[Path]:
    """Where a command's own modules lie; nowhere for words that a fork does not understand."""
    first, *rest = words or [""]
    given = environment.get("PYTHONPATH", "")
    paths = [directory / path for path in given.split(os.pathsep)] if given else []
    if first.endswith(".py") and (directory / first).is_file():
        return [(directory / first).parent, *paths]
    if first == "-m" and rest and rest[0] != _STARTS_OTHERS:
        package = directory / rest[0].partition(".")[0]
        # Of a container, whose data lies there too, only where there is code.
        has_code = package.is_dir() or any(directory.glob("*.py"))
        return [*([directory] if has_code else []), *paths]
    return []
