"""Serving processes over one model: staged, started, watched, restarted, put to sleep."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from local.processes.children import Child, ChildrenClosed
from local.sagemaker.containers import Container, requirements_fault
from local.sagemaker.host import Host
from local.sagemaker.logs import LogStream
from local.sagemaker.model_data import NotServable, stage_model_data

_CHECKOUT = Path(__file__).resolve().parents[2]
_PING_SECONDS = 0.1
_LAST_BREATH_SECONDS = 1.0
_SLOWEST_RESTART_SECONDS = 30.0


class FleetFailed(Exception):
    """The model cannot be served, for this reason."""


class WorkerDied(Exception):
    """The process ended before it answered."""


class NoWorker(Exception):
    """No process became ready in time."""


class FleetFull(Exception):
    """As many requests as the variant may have are under way."""


class FleetRetired(Exception):
    """The fleet takes no more requests; another one may serve the endpoint by now."""


class TimedOut(Exception):
    """The process did not answer in time."""


@dataclass
class Worker:
    """One process and its open connections."""

    process: Child | None = None
    pool: urllib3.HTTPConnectionPool | None = None
    ready: bool = False
    starting: bool = False
    outstanding: int = 0
    failures: int = 0
    not_before: float = 0.0


@dataclass(frozen=True)
class FleetPlan:
    """What to serve, and how."""

    container: dict[str, Any]
    isolated: bool
    idle_seconds: float | None = None
    most_at_once: int | None = None
    startup_seconds: float = 240.0
    variables: Mapping[str, str] | None = None
    label: str = "production variant AllTraffic"


class Fleet:
    """The processes of one production variant or transform job."""

    def __init__(self, host: Host, plan: FleetPlan, directory: Path, log: LogStream) -> None:
        self._host = host
        self._plan = plan
        self._log = log
        self._container = Container(host, directory, isolated=plan.isolated)
        self._changed = threading.Condition()
        self._retired = False
        self._stopped = False
        self._asleep = False
        self._used = time.monotonic()
        self._under_way = 0
        self._workers = [Worker() for _ in range(_worker_count(self._own_variables()))]

    @property
    def log(self) -> LogStream:
        return self._log

    @property
    def _model(self) -> Path:
        return self._container.ml / "model"

    def stage(self) -> None:
        """Brings the model artifact to `/opt/ml/model`; raises FleetFailed."""
        done = self._container.directory / "staged"
        if done.is_file():
            return
        shutil.rmtree(self._container.directory, ignore_errors=True)
        self._model.mkdir(parents=True)
        try:
            stage_model_data(self._host.s3, self._plan.container, self._model)
        except NotServable as reason:
            raise FleetFailed(str(reason)) from None
        fault = requirements_fault(self._model / "code" / "requirements.txt")
        if fault:
            self._log.write(fault)
            raise FleetFailed(f"The primary container for {self._plan.label} cannot start: {fault}")
        done.touch()

    def start(self) -> None:
        """Starts every process and waits for its ping; raises FleetFailed."""
        for worker in self._workers:
            if not self._start(worker):
                raise FleetFailed(
                    f"The primary container for {self._plan.label} did not pass the ping health "
                    "check. Please check CloudWatch logs for this endpoint."
                )

    def watch(self) -> None:
        """Restarts what died and puts an idle serverless fleet to sleep; called now and then."""
        now = time.monotonic()
        with self._changed:
            if self._retired or self._asleep:
                return
            idle = self._plan.idle_seconds
            busy = any(worker.outstanding or worker.starting for worker in self._workers)
            sleeps = idle is not None and not busy and now - self._used > idle
            self._asleep = sleeps
            dead = [worker for worker in self._workers if self._is_dead(worker, now)]
            for worker in dead:
                worker.ready = False
                worker.starting = not sleeps
        if sleeps:
            self._end_processes()
            return
        for worker in dead:
            if worker.process is not None:
                self._log.write("Worker died: starting another")
            self._host.background("serving process", self._restart, worker)

    def post(
        self, body: bytes, headers: Mapping[str, str], *, seconds: float, patience: float
    ) -> urllib3.BaseHTTPResponse:
        """One invocation; raises FleetFull, NoWorker, FleetRetired, WorkerDied or TimedOut."""
        with self._admitted():
            return self._post(body, headers, seconds, self._take(patience))

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        with self._changed:
            if self._plan.most_at_once is not None and self._under_way >= self._plan.most_at_once:
                raise FleetFull
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1

    def _post(
        self, body: bytes, headers: Mapping[str, str], seconds: float, worker: Worker
    ) -> urllib3.BaseHTTPResponse:
        try:
            assert worker.pool is not None
            return worker.pool.urlopen(
                "POST",
                "/invocations",
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=5, read=seconds),
            )
        except urllib3.exceptions.ReadTimeoutError:
            raise TimedOut from None
        except urllib3.exceptions.HTTPError:
            # The connection breaks a moment before the process is seen to have ended.
            if worker.process is not None:
                worker.process.wait(_LAST_BREATH_SECONDS)
            raise WorkerDied from None
        finally:
            with self._changed:
                worker.outstanding -= 1
                self._used = time.monotonic()
                self._changed.notify_all()

    def drain(self, seconds: float) -> None:
        """Takes no more requests and waits for those under way."""
        with self._changed:
            self._retired = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not any(worker.outstanding for worker in self._workers), seconds
            )

    def stop(self) -> None:
        with self._changed:
            self._retired = self._stopped = True
            self._changed.notify_all()
        self._end_processes()

    def remove(self) -> None:
        """Stops, and deletes what was staged."""
        self.stop()
        shutil.rmtree(self._container.directory, ignore_errors=True)

    def _take(self, patience: float) -> Worker:
        deadline = time.monotonic() + patience
        with self._changed:
            self._used = time.monotonic()
            if self._asleep and not self._retired:
                self._asleep = False
                for worker in self._workers:
                    worker.starting = True
                    self._host.background("serving process", self._restart, worker)
            while True:
                if self._retired:
                    raise FleetRetired
                ready = [worker for worker in self._workers if self._is_alive(worker)]
                if ready:
                    chosen = min(ready, key=lambda worker: worker.outstanding)
                    chosen.outstanding += 1
                    return chosen
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NoWorker
                self._changed.wait(min(left, 1.0))

    def _start(self, worker: Worker) -> bool:
        port = _free_port()
        try:
            process = self._host.python.serve(
                self._model,
                port,
                environment=self._environment(self._own_variables()),
                usual=self._environment({}),
                directory=self._container.directory,
                on_line=self._log.write,
            )
        except ChildrenClosed:
            return False
        pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=64)
        passed = self._answers_ping(process, pool)
        if not passed:
            process.terminate(5)
        with self._changed:
            worker.process, worker.pool, worker.ready = process, pool, passed
            worker.starting = False
            worker.failures = 0 if passed else worker.failures + 1
            delay = min(_SLOWEST_RESTART_SECONDS, 2.0**worker.failures)
            worker.not_before = time.monotonic() + delay
            self._changed.notify_all()
            stopped = self._stopped
        if stopped:
            process.terminate(5)
        return passed

    def _restart(self, worker: Worker) -> None:
        try:
            self.stage()
            self._start(worker)
        except FleetFailed as error:
            self._log.write(str(error))
        finally:
            with self._changed:
                if worker.starting:
                    worker.starting = False
                    worker.failures += 1
                    delay = min(_SLOWEST_RESTART_SECONDS, 2.0**worker.failures)
                    worker.not_before = time.monotonic() + delay

    def _answers_ping(self, process: Child, pool: urllib3.HTTPConnectionPool) -> bool:
        deadline = time.monotonic() + self._plan.startup_seconds
        while time.monotonic() < deadline and process.running() and not self._stopped:
            try:
                if pool.request("GET", "/ping", retries=False, timeout=2).status == 200:
                    return True
            except urllib3.exceptions.HTTPError:
                time.sleep(_PING_SECONDS)
        return False

    def _end_processes(self) -> None:
        with self._changed:
            running = [worker.process for worker in self._workers if worker.process is not None]
            for worker in self._workers:
                worker.ready, worker.process = False, None
        for process in running:
            process.terminate(5)

    def _own_variables(self) -> dict[str, str]:
        own = {str(k): str(v) for k, v in self._plan.container.get("Environment", {}).items()}
        return own | dict(self._plan.variables or {})

    def _environment(self, own: dict[str, str]) -> dict[str, str]:
        paths = [str(_CHECKOUT), *filter(None, [own.get("PYTHONPATH", "")])]
        cores = max(1, (os.cpu_count() or 1) // _worker_count(own))
        return self._container.environment(
            {"OMP_NUM_THREADS": str(cores), "SAGEMAKER_BASE_DIR": str(self._container.ml)},
            own,
            {"PYTHONPATH": os.pathsep.join(paths)},
        )

    @staticmethod
    def _is_alive(worker: Worker) -> bool:
        return worker.ready and worker.process is not None and worker.process.running()

    def _is_dead(self, worker: Worker, now: float) -> bool:
        return not worker.starting and not self._is_alive(worker) and now > worker.not_before


def _worker_count(environment: Mapping[str, str]) -> int:
    wanted = environment.get("SAGEMAKER_MODEL_SERVER_WORKERS", "1")
    return min(max(1, int(wanted)), os.cpu_count() or 1) if wanted.isdecimal() else 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
