"""Ends what a local AWS leaves behind when it dies without a chance to clean up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MARKER = "LECTERN_LOCAL_SERVER"


def start(state_dir: Path) -> subprocess.Popen[bytes]:
    """Start the watchdog of the calling process: it acts when its standard input closes."""
    environment = {name: value for name, value in os.environ.items() if name != MARKER}
    return subprocess.Popen(
        [sys.executable, "-m", "local.watchdog", str(state_dir)],
        stdin=subprocess.PIPE,
        env=environment,
        cwd=Path(__file__).resolve().parent.parent,
        start_new_session=True,
    )


def end_leftovers(state_dir: Path) -> int:
    """Kill every process that a server on this state directory started; returns how many."""
    import psutil

    ended = 0
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARKER) == str(state_dir):
                process.kill()
                ended += 1
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return ended


def main() -> None:
    """Wait for the server to end, then end its leftovers until none is found."""
    state_dir = Path(sys.argv[1])
    sys.stdin.buffer.read()
    while end_leftovers(state_dir):
        pass


if __name__ == "__main__":
    main()
