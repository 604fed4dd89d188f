"""Records on disk: every change is a whole file renamed into place, so a kill loses none."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

Record = dict[str, Any]
Json = Any
"""A value of JSON, of whatever shape."""


class Store:
    """All records by kind and key. What it hands out are copies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kinds: dict[str, dict[str, Record]] = {}
        self.lock = threading.RLock()

    def load(self) -> None:
        """Reads what an earlier process left."""
        with self.lock:
            for path in sorted(self._directory.glob("*/*.json")):
                saved = json.loads(path.read_text())
                self._kinds.setdefault(path.parent.name, {})[saved["key"]] = saved["record"]

    def find(self, kind: str, key: str) -> Record | None:
        with self.lock:
            return copy.deepcopy(self._kinds.get(kind, {}).get(key))

    def all(self, kind: str) -> list[Record]:
        with self.lock:
            return copy.deepcopy(list(self._kinds.get(kind, {}).values()))

    def put(self, kind: str, key: str, record: Record) -> None:
        with self.lock:
            self._write(kind, key, record)
            self._kinds.setdefault(kind, {})[key] = copy.deepcopy(record)

    def change(self, kind: str, key: str, edit: Callable[[Record], None]) -> Record | None:
        """Edits the record under the lock; None if it is gone."""
        with self.lock:
            record = self.find(kind, key)
            if record is None:
                return None
            edit(record)
            self.put(kind, key, record)
            return copy.deepcopy(record)

    def delete(self, kind: str, key: str) -> None:
        with self.lock:
            self._kinds.get(kind, {}).pop(key, None)
            self._path(kind, key).unlink(missing_ok=True)

    def _path(self, kind: str, key: str) -> Path:
        return self._directory / kind / f"{quote(key, safe='')}.json"

    def _write(self, kind: str, key: str, record: Record) -> None:
        path = self._path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"key": key, "record": record}))
        draft.replace(path)
