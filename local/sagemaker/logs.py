"""Lines of containers on their way to CloudWatch Logs, and into a file beside the job."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.cloud import Cloud

_SECONDS_BETWEEN_BATCHES = 0.5
_EVENTS_IN_A_BATCH = 1000
_BYTES_IN_A_BATCH = 1_000_000
_LONGEST_EVENT = 200_000
_KEPT_WHEN_UNREACHABLE = 100_000

_log = logging.getLogger(__name__)


class LogStream:
    """One stream: takes lines, keeps them in a file, gives them to the shipper."""

    def __init__(self, group: str, name: str, file: Path, wake: Callable[[], None]) -> None:
        self.group = group
        self.name = name
        self.exists = False
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: list[dict[str, Any]] = []
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("a", buffering=1)

    def write(self, line: str) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(f"{line}\n")
            # CloudWatch refuses empty messages.
            event = {"timestamp": int(time.time() * 1000), "message": line[:_LONGEST_EVENT] or " "}
            self._waiting.append(event)
        self._wake()

    def take(self) -> list[dict[str, Any]]:
        """The next batch, within CloudWatch's limits."""
        with self._lock:
            size = 0
            for count, event in enumerate(self._waiting):
                size += len(event["message"].encode()) + 26
                if count == _EVENTS_IN_A_BATCH or size > _BYTES_IN_A_BATCH:
                    break
            else:
                count = len(self._waiting)
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            return batch

    def give_back(self, batch: list[dict[str, Any]]) -> None:
        with self._lock:
            self._waiting = [*batch, *self._waiting][-_KEPT_WHEN_UNREACHABLE:]

    def close(self) -> None:
        with self._lock:
            self._file.close()


class LogShipper:
    """One thread that brings every stream's lines to CloudWatch Logs."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._streams: set[LogStream] = set()
        self._lock = threading.Lock()
        self._delivery = threading.Lock()
        self._stirred = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)
        self._thread.start()

    def open(self, group: str, name: str, file: Path) -> LogStream:
        stream = LogStream(group, name, file, self._stirred.set)
        with self._lock:
            self._streams.add(stream)
        return stream

    def close(self, stream: LogStream) -> None:
        """Delivers what is left of the stream and forgets it."""
        self._deliver(stream)
        stream.close()
        with self._lock:
            self._streams.discard(stream)

    def stop(self) -> None:
        self._stopped.set()
        self._stirred.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._stirred.wait()
            self._stopped.wait(_SECONDS_BETWEEN_BATCHES)
            self._stirred.clear()
            with self._lock:
                streams = list(self._streams)
            for stream in streams:
                self._deliver(stream)

    def _deliver(self, stream: LogStream) -> None:
        with self._delivery:
            while batch := stream.take():
                try:
                    self._send(stream, batch)
                except (BotoCoreError, ClientError) as error:
                    stream.give_back(batch)
                    _log.warning("%s/%s stays in its file: %s", stream.group, stream.name, error)
                    return

    def _send(self, stream: LogStream, batch: list[dict[str, Any]]) -> None:
        logs = self._cloud.logs
        if not stream.exists:
            for make, wanted in (
                (logs.create_log_group, {"logGroupName": stream.group}),
                (
                    logs.create_log_stream,
                    {"logGroupName": stream.group, "logStreamName": stream.name},
                ),
            ):
                try:
                    make(**wanted)
                except logs.exceptions.ResourceAlreadyExistsException:
                    continue
            stream.exists = True
        logs.put_log_events(logGroupName=stream.group, logStreamName=stream.name, logEvents=batch)
