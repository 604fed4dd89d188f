"""A training job's checkpoints: copied to S3 while it runs, whole files only."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import TracebackType

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.transfer import Bucket, join

_LOOK_SECONDS = 2.0
_log = logging.getLogger(__name__)

_State = tuple[int, int]
"""Size and time of change: a file that has both as at the last look is whole."""


class CheckpointSync:
    """Keeps a prefix of S3 up to date with a directory; what is deleted there stays in S3."""

    def __init__(self, s3: Bucket, directory: Path, uri: str) -> None:
        self._s3 = s3
        self._directory = directory
        self._uri = uri
        self._seen: dict[Path, _State] = {}
        # What was downloaded before the job started need not go back.
        self._sent = self._states()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"checkpoints {uri}", daemon=True)

    def __enter__(self) -> CheckpointSync:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            self._finish()

    def _finish(self) -> None:
        """Uploads what is left; of a killed process, the newest files may be torn."""
        for path, state in self._states().items():
            if self._sent.get(path) != state:
                self._upload(path, state)

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                self._look()
            except (BotoCoreError, ClientError, S3UploadFailedError, OSError) as error:
                _log.warning("checkpoints under %s wait for the next look: %s", self._uri, error)

    def _look(self) -> None:
        before, self._seen = self._seen, self._states()
        for path, state in self._seen.items():
            if self._ended.is_set():
                return
            if before.get(path) == state and self._sent.get(path) != state:
                self._upload(path, state)

    def _upload(self, path: Path, state: _State) -> None:
        self._s3.upload(path, join(self._uri, path.relative_to(self._directory).as_posix()))
        self._sent[path] = state

    def _states(self) -> dict[Path, _State]:
        states = {}
        for path in sorted(self._directory.rglob("*")):
            try:
                found = path.stat()
            except FileNotFoundError:
                # The script deletes old checkpoints while we look.
                continue
            if path.is_file():
                states[path] = (found.st_size, found.st_mtime_ns)
        return states
