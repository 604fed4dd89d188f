"""Starts, finds and stops the local AWS in the background."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from local import watchdog

HOST = "127.0.0.1"
DEFAULT_PORT = 4566
REGION = "us-east-1"
ACCOUNT = "123456789012"
CHECKOUT = Path(__file__).resolve().parent.parent


class LocalAwsError(RuntimeError):
    """The local AWS cannot be started or stopped as asked."""


@dataclass(frozen=True)
class Server:
    """A running local AWS, as `server.json` describes it."""

    pid: int
    port: int
    endpoint_url: str
    region: str
    account: str


@dataclass(frozen=True)
class Status:
    """Whether a local AWS runs on a state directory, and where its log is."""

    running: bool
    server: Server | None
    state_dir: Path
    log: Path


def default_state_dir() -> Path:
    """`.local` in the checkout, or what LECTERN_LOCAL_DIR names."""
    return Path(os.environ.get("LECTERN_LOCAL_DIR") or CHECKOUT / ".local").resolve()


def environment(server: Server) -> dict[str, str]:
    """The variables with which any AWS client reaches this server."""
    return {
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_ACCESS_KEY_ID": server.account,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": server.region,
        "AWS_DEFAULT_REGION": server.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": HOST,
    }


def start(
    state_dir: Path | None = None, port: int | None = None, timeout_seconds: float = 60
) -> Server:
    """Start the local AWS, or find it running; returns once it answers with all it held."""
    directory = (state_dir or default_state_dir()).resolve()
    _make(directory)
    with (directory / "start.lock").open("w") as lock:
        # Whoever starts it at the same moment waits here, and finds it running.
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = status(directory).server
        if running is not None:
            return _with_port(running, port, directory)
        return _start(directory, DEFAULT_PORT if port is None else port, timeout_seconds)


def stop(state_dir: Path | None = None, timeout_seconds: float = 30) -> bool:
    """Stop the local AWS and all it started; False when none ran."""
    directory = (state_dir or default_state_dir()).resolve()
    server = status(directory).server
    if server is not None:
        _end(psutil.Process(server.pid), timeout_seconds)
    watchdog.end_leftovers(directory)
    (directory / "server.json").unlink(missing_ok=True)
    return server is not None


def status(state_dir: Path | None = None) -> Status:
    """Look whether the local AWS runs on this state directory."""
    directory = (state_dir or default_state_dir()).resolve()
    server = _read(directory)
    if server is not None and not (_is_ours(server.pid, directory) and _answers(server)):
        server = None
    return Status(
        running=server is not None,
        server=server,
        state_dir=directory,
        log=directory / "server.log",
    )


def require_free(port: int) -> None:
    """Raise LocalAwsError when the port cannot be had."""
    if not 0 < port < 65536:
        raise LocalAwsError(f"port: a number from 1 to 65535, got {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LocalAwsError(
                f"port: {port} on {HOST} is taken ({error.strerror}): stop what listens there, "
                f"or choose another port"
            ) from error


def _with_port(running: Server, port: int | None, directory: Path) -> Server:
    if port not in (None, running.port):
        raise LocalAwsError(
            f"port: the local AWS in {directory} already runs on {running.port}, got {port}: "
            f"stop it first, or use {running.port}"
        )
    return running


def _start(directory: Path, port: int, timeout_seconds: float) -> Server:
    require_free(port)
    log = directory / "server.log"
    with log.open("ab") as output:
        written_before = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "local", "--state-dir", str(directory), "--port", str(port)],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _wait_until_ready(process, directory, log, written_before, timeout_seconds)


def _read(directory: Path) -> Server | None:
    try:
        return Server(**json.loads((directory / "server.json").read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalAwsError(
            f"LECTERN_LOCAL_DIR: {directory} cannot be made ({error.strerror}): "
            f"name a directory that can be written"
        ) from error


def _is_ours(pid: int, directory: Path) -> bool:
    try:
        return str(directory) in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _answers(server: Server) -> bool:
    try:
        with socket.create_connection((HOST, server.port), timeout=10):
            return True
    except OSError:
        return False


def _wait_until_ready(
    process: subprocess.Popen[bytes],
    directory: Path,
    log: Path,
    written_before: int,
    timeout_seconds: float,
) -> Server:
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        server = _read(directory)
        if server is not None and server.pid == process.pid:
            return server
        if process.poll() is not None:
            raise LocalAwsError(
                f"the local AWS ended with exit code {process.returncode} before it was ready; "
                f"its last words in {log}:\n{_tail(log, written_before)}"
            )
        time.sleep(0.05)
    _end(psutil.Process(process.pid), timeout_seconds=10)
    watchdog.end_leftovers(directory)
    raise LocalAwsError(
        f"timeout_seconds: the local AWS was not ready within {timeout_seconds:g} s; "
        f"its last words in {log}:\n{_tail(log, written_before)}"
    )


def _end(process: psutil.Process, timeout_seconds: float) -> None:
    try:
        process.terminate()
        process.wait(timeout_seconds)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(10)


def _tail(log: Path, written_before: int, lines: int = 15) -> str:
    written = log.read_bytes()[written_before:].decode(errors="replace")
    return "\n".join(written.splitlines()[-lines:])
