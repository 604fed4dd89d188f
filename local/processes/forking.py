"""The server's side of `fork_server`: one of them, and what it forked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from local.processes.fork_server import FORKED, LONGEST_REQUEST_BYTES, READY

_CHECKOUT = Path(__file__).resolve().parents[2]
_IMPORT_SECONDS = 120.0
_FORK_SECONDS = 20.0


class CannotFork(Exception):
    """The fork server is gone, or the request too long for it: start the process without it."""


class ForkServer:
    """A process that forks others like it, started with this environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "local.processes.fork_server"],
                env=dict(environment),
                cwd=_CHECKOUT,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._requests.settimeout(_IMPORT_SECONDS)
        self._is_ready = self._is_gone = False
        self._lock = threading.Lock()

    def wait_until_ready(self) -> bool:
        """Waits for its imports; false if they failed, or it ended since."""
        with self._lock:
            if not (self._is_ready or self._is_gone):
                self._is_ready = self._hears(READY)
                self._requests.settimeout(_FORK_SECONDS)
            return self._is_ready and not self._is_gone

    def fork(
        self,
        pid_file: Path,
        *,
        words: list[str],
        code: list[Path],
        environment: Mapping[str, str],
        directory: Path,
    ) -> Forked:
        """What Python would do with these words; raises CannotFork.

        Where `code` has modules that would hide imported ones, it is started after all.
        """
        message = {
            "pid_file": str(pid_file),
            "words": words,
            "code": [str(path) for path in code],
            "environment": dict(environment),
            "directory": str(directory),
        }
        encoded = json.dumps(message).encode()
        if len(encoded) > LONGEST_REQUEST_BYTES:
            raise CannotFork
        with self._lock:
            if self._is_gone:
                raise CannotFork
            return self._send(encoded)

    def stop(self) -> None:
        """Ends it; what it forked lives on."""
        self._process.kill()
        self._process.wait()
        with self._lock:
            self._is_gone = True
            self._requests.close()

    def _hears(self, answer: bytes) -> bool:
        try:
            heard = self._requests.recv(len(answer)) == answer
        except OSError:
            heard = False
        self._is_gone = not heard
        return heard

    def _send(self, message: bytes) -> Forked:
        with ExitStack() as theirs, ExitStack() as ours:
            stdin, our_stdin = _pipe(theirs, ours)
            our_stdout, stdout = _pipe(ours, theirs)
            our_status, status = _pipe(ours, theirs)
            try:
                socket.send_fds(self._requests, [message], [stdin, stdout, status])
            except OSError as error:
                self._is_gone = isinstance(error, BrokenPipeError | ConnectionResetError)
                raise CannotFork from error
            theirs.close()
            if not self._hears(FORKED):
                raise CannotFork
            ours.pop_all()
            return Forked(our_stdin, our_stdout, our_status)


def _pipe(readers: ExitStack, writers: ExitStack) -> tuple[int, int]:
    """The end to read from and the end to write to, each closed with its stack."""
    read, write = os.pipe()
    readers.callback(os.close, read)
    writers.callback(os.close, write)
    return read, write


class Forked:
    """The supervisor of one forked process, known by its pipes; ended when its status closes."""

    def __init__(self, stdin: int, stdout: int, status: int) -> None:
        self.stdin: IO[bytes] = os.fdopen(stdin, "wb")
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb")
        self._status: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._follow, args=[status], daemon=True).start()

    def poll(self) -> int | None:
        return self._status if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int | None:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        return self._status

    def _follow(self, status: int) -> None:
        with os.fdopen(status, "rb") as written:
            text = written.read()
        # A supervisor that was killed writes nothing.
        self._status = int(text) if text else 137
        self._ended.set()
