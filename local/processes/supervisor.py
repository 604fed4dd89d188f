"""Runs one command and ends everything it started when it ends or the parent is gone.

The parent holds the other end of stdin: a byte asks the group to end, end of file means that the
parent died or wants the group killed. Started as a plain file, so that it needs nothing but the
standard library.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Protocol

_PR_SET_CHILD_SUBREAPER = 36
_MOST_LOOKS = 200


class CannotStart(Exception):
    """There is no such command, or no process to be had."""


class Process(Protocol):
    """The part of `subprocess.Popen` that watching over a process takes."""

    pid: int

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self) -> int | None: ...


def main(pid_file: Path, command: list[str]) -> int:
    """Returns the command's exit status, 128 + n for signal n, 127 when it cannot start."""
    try:
        return supervise(
            pid_file,
            lambda: subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True),
        )
    except CannotStart as error:
        print(f"cannot start {command[0]}: {error}", flush=True)
        return 127


def supervise(pid_file: Path, start: Callable[[], Process]) -> int:
    """Starts a process in a session of its own and stays until it ends.

    Returns its exit status, 128 + n for signal n; raises CannotStart.
    """
    _adopt_orphans()
    wake_out, wake_in = os.pipe()
    os.set_blocking(wake_in, False)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = start()
    except OSError as error:
        raise CannotStart(error.strerror) from error
    try:
        pid_file.write_text(json.dumps({"pid": child.pid, "started": time.time()}))
        _watch(child, wake_out)
    finally:
        _kill_all(child.pid)
    pid_file.unlink(missing_ok=True)
    status = child.returncode or 0
    return status if status >= 0 else 128 - status


def _watch(child: Process, wake_out: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(wake_out, selectors.EVENT_READ)
        while child.poll() is None:
            for key, _ in selector.select():
                received = os.read(key.fd, 64)
                if key.fd == 0 and not received:
                    _kill_all(child.pid)
                    child.wait()
                elif key.fd == 0 or signal.SIGTERM in received:
                    _signal_group(child.pid, signal.SIGTERM)


def _ignore(number: int, frame: FrameType | None) -> None:
    """The wake-up pipe carries the signal."""


def _adopt_orphans() -> None:
    """Linux: what a killed torchrun leaves behind becomes our child, so that we find it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _kill_all(group: int) -> None:
    """The group, and what left it for a session of its own: torchrun's workers."""
    strays = _descendants()
    _signal_group(group, signal.SIGKILL)
    # A killed process may have started another one since the look.
    for _ in range(_MOST_LOOKS):
        if not strays:
            return
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
        strays = _descendants()


def _descendants() -> list[int]:
    """Every living process below this one, zombies left out."""
    parents = {pid: parent for pid, parent, state in _processes() if state != "Z"}
    found: list[int] = []
    level = {os.getpid()}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found += level
    return found


def _processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent and state of every process; none where there is no /proc and no ps."""
    if not Path("/proc/self/stat").exists():
        yield from _listed_processes()
        return
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in the second field is in parentheses and may hold blanks.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        yield int(stat.parent.name), int(fields[1]), fields[0]


def _listed_processes() -> Iterator[tuple[int, int, str]]:
    command = ["/bin/ps", "-axo", "pid=,ppid=,state="]
    try:
        ps = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        return
    listed, _ = ps.communicate()
    for line in listed.splitlines():
        pid, parent, state = line.split()
        if int(pid) != ps.pid:
            yield int(pid), int(parent), state[0]


def _signal_group(group: int, number: signal.Signals) -> None:
    # macOS answers EPERM for a group of which only zombies are left.
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
