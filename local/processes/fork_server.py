"""Starts Python processes by forking one that has imported torch and transformers already.

The imports are most of what a start costs. They are the same for every model and job, so one
process does them once; the own code of each, the toolkit included, is imported after the fork. The
server asks over the socket on stdin: one message a process, with the ends of the pipes that it
holds.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import re
import runpy
import signal
import socket
import sys
import threading
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
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

    def __init__(self, run: Callable[[int], NoReturn]) -> None:
        """Returns once the child has closed the descriptor that it is given."""
        self.returncode: int | None = None
        settled, settling = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(settled)
            run(settling)
        os.close(settling)
        os.read(settled, 1)
        os.close(settled)

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
            Path(request["pid_file"]), lambda: Forked(partial(_run, request, ends))
        )
    except BaseException:  # noqa: BLE001 - this process ends here, whatever it was
        traceback.print_exc()
    finally:
        # Nobody reads it where the server is gone.
        with contextlib.suppress(OSError):
            os.write(ends.status, str(status).encode())
        os._exit(status)


def _run(request: dict[str, Any], ends: Ends, settling: int) -> NoReturn:
    status = 1
    try:
        _become_its_own(request, ends)
        os.close(settling)
        status = _status_of(request["words"])
    except BaseException:  # noqa: BLE001 - what an exit function raises, too
        traceback.print_exc()
    finally:
        os._exit(status)


def _status_of(words: list[str]) -> int:
    """Does what Python does with these words, to the end of the interpreter; its exit status."""
    status = 0
    try:
        _execute(words)
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if not isinstance(leaving.code, int | None):
            print(leaving.code, file=sys.stderr)
    except BaseException as error:  # noqa: BLE001 - whatever the code raises, it ends here
        status = 1
        trace = _from_its_own_code(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    # So do children of multiprocessing, whose parent goes on as this one does.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status


def _execute(words: list[str]) -> None:
    """Runs the module after `-m`, or the script, as `__main__`."""
    is_safe_path = words[0] == "-P"
    first, *arguments = words[is_safe_path:]
    if first == "-m":
        module, *arguments = arguments
        own_folder = Path.cwd()
    else:
        own_folder = Path(first).resolve().parent
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [*([] if is_safe_path else [str(own_folder)]), *paths]
    sys.argv = [first, *arguments]
    if first != "-m":
        _run_script(Path(first).absolute())
    elif module == "local.serving":
        from local import serving

        sys.argv[0] = module
        serving.main(arguments)
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _run_script(path: Path) -> None:
    """As Python does; runpy would give argv and `__file__` another form."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), vars(main))  # noqa: S102


def _from_its_own_code(trace: TracebackType | None) -> TracebackType | None:
    """Without the frames that stand for the interpreter."""
    here = (__file__, runpy.__file__, "<frozen runpy>")
    while trace is not None and trace.tb_frame.f_code.co_filename in here:
        trace = trace.tb_next
    return trace


def _become_its_own(request: dict[str, Any], ends: Ends) -> None:
    """Everything that a process which was started, not forked, has of its own."""
    import numpy as np
    import setproctitle
    import torch

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
    np.random.seed()
    torch.default_generator.seed()
    command = [sys.executable, *request["words"]]
    if any(_shadows(Path(path)) for path in request["code"]):
        os.execve(sys.executable, command, request["environment"])  # noqa: S606
    setproctitle.setproctitle(" ".join(command))


def _shadows(code: Path) -> bool:
    """Whether there is a module of a name that is imported already: the own one counts."""
    imported = {name.partition(".")[0] for name in sys.modules}
    if code.is_dir():
        names = [entry.name for entry in code.iterdir()]
    else:
        names = zipfile.ZipFile(code).namelist() if zipfile.is_zipfile(code) else []
    return any(re.split(r"[./]", name)[0] in imported for name in names)


if __name__ == "__main__":
    main()
