"""Writes what the services hold to disk, while they run, so that a kill loses next to nothing."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

INTERVAL_SECONDS = 1.0
LONGEST_INTERVAL_SECONDS = 3.0
PAUSES = 30
"""So many times as long as a write takes are the pauses: what is asked meanwhile waits."""
LINGER_SECONDS = 10.0
IDLE_INTERVAL_SECONDS = 30.0

logger = logging.getLogger("local.snapshots")

States = Callable[[], Mapping[str, Callable[[], Any]]]
Encode = Callable[[str, Any], bytes]


class Snapshots:
    """The services' states in a folder, one file each, rewritten when their bytes change."""

    def __init__(self, folder: Path, states: States, encode: Encode) -> None:
        self._folder = folder
        self._states = states
        self._encode = encode
        self._digests: dict[str, bytes] = {}
        self._last_activity = 0.0
        self._last_write = 0.0
        self._writing = threading.Lock()

    def touch(self) -> None:
        """Note that something may have changed, or is still changing."""
        self._last_activity = time.monotonic()

    async def keep(self) -> None:
        """Write at short intervals while something happens, until cancelled."""
        pause = INTERVAL_SECONDS
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            active = now - self._last_activity < LINGER_SECONDS
            if active or now - self._last_write > IDLE_INTERVAL_SECONDS:
                await asyncio.to_thread(self.write)
                taken = time.monotonic() - now
                pause = min(max(INTERVAL_SECONDS, PAUSES * taken), LONGEST_INTERVAL_SECONDS)

    def write(self) -> None:
        """Write each state that changed since it was last written."""
        with self._writing:
            self._folder.mkdir(parents=True, exist_ok=True)
            for service, state in self._states().items():
                try:
                    self._write_service(service, state)
                except RuntimeError as error:
                    # The service changed its records while they were copied: next time.
                    logger.debug("%s: %s", service, error)
                except OSError as error:
                    # A full disk is to cost what it keeps from being written, not what comes after.
                    logger.warning("%s is not saved, tried again soon: %s", service, error)
            self._last_write = time.monotonic()

    def _write_service(self, service: str, state: Callable[[], Any]) -> None:
        held = state()
        if held is None:
            return
        content = self._encode(service, held)
        digest = hashlib.sha256(content).digest()
        if digest == self._digests.get(service):
            return
        unfinished = self._folder / f"{service}.json.unfinished"
        unfinished.write_bytes(content)
        unfinished.replace(self._folder / f"{service}.json")
        self._digests[service] = digest
