"""Starts Python processes by forking one that has imported torch and transformers already.

The imports are most of what a start costs. They are the same for every model and job, so one
process does them once; the own code of each, the toolkit included, is imported after the fork. The
server asks over the socket on stdin: one message a process, with the ends of the pipes that it
holds.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import runpy
import signal
import socket
import sys
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
_IMPORTED_AT_EVERY_START = {"sitecustomize", "usercustomize"}


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
    own = os.getpid()
    try:
        os.setsid()
        for descriptor, number in ((ends.stdin, 0), (ends.stdout, 1), (ends.stdout, 2)):
            os.dup2(descriptor, number)
        status = supervisor.supervise(
            Path(request["pid_file"]), lambda: Forked(partial(_run, request, ends))
        )
    except BaseException:
        if os.getpid() != own:
            # The process that was forked leaves by way of the interpreter, to its end.
            raise
        traceback.print_exc()
    # Nobody reads it where the server is gone.
    with contextlib.suppress(OSError):
        os.write(ends.status, str(status).encode())
    os._exit(status)


def _run(request: dict[str, Any], ends: Ends, settling: int) -> NoReturn:
    """Does what Python does with the words; leaves by SystemExit."""
    try:
        _become_its_own(request, ends)
        os.close(settling)
        _execute(request["words"])
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the code raises, it ends here
        trace = _from_its_own_code(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)
    sys.exit(0)


def _execute(words: list[str]) -> None:
    """Runs the module after `-m`, or the script, as `__main__`."""
    is_safe_path = words[0] == "-P"
    first, *arguments = words[is_safe_path:]
    if first == "-m":
        module, *arguments = arguments
        own_folder = Path.cwd()
    else:
        own_folder = Path(first).resolve().parent
    given = os.environ.get("PYTHONPATH", "")
    paths = [os.path.abspath(path) for path in given.split(os.pathsep)] if given else []  # noqa: PTH100
    sys.path[:0] = [*([] if is_safe_path else [str(own_folder)]), *paths]
    sys.argv = [first, *arguments]
    if first != "-m":
        _run_script(Path(first).absolute())
    elif module == "local.serving":
        from local import serving

        sys.argv[0] = module
        serving.main(arguments)
    else:
        sys.modules["__main__"] = ModuleType("__main__")
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]


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
    sys.orig_argv = command
    setproctitle.setproctitle(" ".join(command))


def _shadows(code: Path) -> bool:
    """Whether there is a module of a name that is imported already: the own one counts.

    So does an installed package, of which transformers found at its import that it is missing.
    """
    imported = {name.partition(".")[0] for name in sys.modules} | _IMPORTED_AT_EVERY_START
    if code.is_dir():
        names = [entry.name for entry in code.iterdir()]
    else:
        names = zipfile.ZipFile(code).namelist() if zipfile.is_zipfile(code) else []
    return any(re.split(r"[./]", name)[0] in imported or ".dist-info" in name for name in names)


if __name__ == "__main__":
    main()
