"""Runs one command and ends its whole process group when the parent is gone.

The parent holds the other end of stdin: end of file means that it died or wants the group killed.
Started as a plain file, so that it needs nothing but the standard library.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType


def main(pid_file: Path, command: list[str]) -> int:
    """Returns the command's exit status, 128 + n for signal n, 127 when it cannot start."""
    wake_out, wake_in = os.pipe()
    os.set_blocking(wake_in, False)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", flush=True)
        return 127
    pid_file.write_text(json.dumps({"pid": child.pid, "started": time.time()}))
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(wake_out, selectors.EVENT_READ)
        while child.poll() is None:
            for key, _ in selector.select():
                received = os.read(key.fd, 64)
                if key.fd == 0 and not received:
                    _signal_group(child.pid, signal.SIGKILL)
                    child.wait()
                elif key.fd == wake_out and signal.SIGTERM in received:
                    _signal_group(child.pid, signal.SIGTERM)
    _signal_group(child.pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _ignore(number: int, frame: FrameType | None) -> None:
    """The wake-up pipe carries the signal."""


def _signal_group(group: int, number: signal.Signals) -> None:
    # macOS answers EPERM for a group of which only zombies are left.
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
