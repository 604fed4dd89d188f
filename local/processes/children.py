"""Child processes: started under a supervisor, read line by line, never outliving the server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Protocol

import psutil

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_CLOCK_SLACK_SECONDS = 5.0


class Supervised(Protocol):
    """The part of `subprocess.Popen` that a child takes of its supervisor."""

    @property
    def stdin(self) -> IO[bytes] | None: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int | None: ...


class Child:
    """One running command; `wait` gives its exit status."""

    def __init__(self, process: Supervised, on_line: Callable[[str], None]) -> None:
        self._process = process
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """The exit status once every line was read, None if it still runs by then."""
        try:
            status = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(5)
        return status

    def running(self) -> bool:
        return self._process.poll() is None

    def terminate(self, grace_seconds: float) -> None:
        """Asks the process group to end, and kills what is left after the grace."""
        if self._process.stdin is not None and self.running():
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(b"\n")
                self._process.stdin.flush()
        if self.wait(grace_seconds) is None:
            self.kill()

    def kill(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self.wait(10)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._on_line(line.decode(errors="replace").rstrip("\r\n"))


class Children:
    """All children of this server, known by a file each until they end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: set[Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(
        self,
        command: list[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str], None],
    ) -> Child:
        """Runs a command; raises ChildrenClosed."""

        def supervised(pid_file: Path) -> Supervised:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR), str(pid_file), *command],
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        return self.add(supervised, on_line)

    def add(self, start: Callable[[Path], Supervised], on_line: Callable[[str], None]) -> Child:
        """Starts what writes its pid into the given file; raises ChildrenClosed."""
        self._directory.mkdir(parents=True, exist_ok=True)
        pid_file = self._directory / f"{uuid.uuid4().hex}.json"
        with self._lock:
            if self._closed:
                raise ChildrenClosed("the local AWS is stopping")
            self._running = {child for child in self._running if child.running()}
            child = Child(start(pid_file), on_line)
            self._running.add(child)
        return child

    def stop(self) -> None:
        """Kills every child and waits for it; nothing starts afterwards."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for child in running:
            child.kill()

    def sweep(self) -> None:
        """Kills what an earlier server left behind, should its supervisors have died as well."""
        for pid_file in self._directory.glob("*.json"):
            try:
                left = json.loads(pid_file.read_text())
                # A recycled pid belongs to a process that was created at another time.
                created = psutil.Process(left["pid"]).create_time()
                if abs(created - left["started"]) < _CLOCK_SLACK_SECONDS:
                    # torchrun's workers have sessions of their own.
                    strays = psutil.Process(left["pid"]).children(recursive=True)
                    os.killpg(left["pid"], signal.SIGKILL)
                    for stray in strays:
                        stray.kill()
            except (ValueError, psutil.NoSuchProcess, ProcessLookupError, PermissionError):
                pass
            pid_file.unlink(missing_ok=True)


class ChildrenClosed(RuntimeError):
    """A child was to be started while the server stops."""
