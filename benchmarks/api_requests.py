"""One process in which both handlers answer in turn: the CPU that each takes per request.

    python api_requests.py RESULT_FILE EVENT_FILE FOLDER BARE_FOLDER ROUNDS

A round is a block of requests of each: of the bare handler, of ours, and of ours with a part
switched off. Logs go to the standard output, as on Lambda, so the result is a file. With `profile`
for ROUNDS, cProfile's table of our handler is printed instead.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

BLOCK = 200
Parts = list[tuple[Any, str, Any]]


class Client:
    """Answers without boto3."""

    def invoke_endpoint(self, **_: object) -> dict[str, Any]:
        return {"Body": io.BytesIO(b'[{"label": "billing", "score": 0.91}]')}


def main(result: str, event_file: str, folder: str, bare_folder: str, rounds: str) -> None:
    event = json.loads(Path(event_file).read_text())
    bare, ours = _handler(bare_folder), _handler(folder)
    if rounds == "profile":
        _profile(ours, event)
        return
    contenders = _contenders(bare, ours)
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(int(rounds) + 1):
        for name, (handler, off) in contenders.items():
            with _switched(off):
                spent = _block(handler, event)
            if number:  # the first round warms up
                taken[name].append(spent)
    Path(result).write_text(json.dumps(taken))


def _contenders(
    bare: ModuleType, ours: ModuleType
) -> Mapping[str, tuple[Callable[..., Any], Parts]]:
    """Handlers by name; what follows a semicolon is true of the bare one it is compared to too."""
    aws, fields, models = (sys.modules[name] for name in ("aws", "fields", "models"))

    def reading(event: dict[str, Any], context: object) -> dict[str, Any]:
        models._records.clear()
        answer: dict[str, Any] = ours.handler(event, context)
        return answer

    client = Client()
    bare_alone = [(bare, "runtime", client)]
    alone = [(aws, "runtime", lambda: client)]
    log = [(ours.logger, "info", _nothing), (ours.logger, "set_correlation_id", _nothing)]
    metrics = [(ours, "count", _nothing)]
    checks = [(fields, "check", lambda _, asked: {**asked, "parameters": {}})]
    switched: dict[str, Parts] = {
        "whole": [],
        "no log": log,
        "no metrics": metrics,
        "no checks of fields": checks,
        "none of the three": [*log, *metrics, *checks],
    }
    without = "without boto3"
    return {
        "bare": (bare.handler, []),
        "ours, whole": (ours.handler, []),
        "ours, reads the record each time": (reading, []),
        f"bare; {without}": (bare.handler, bare_alone),
        **{
            f"ours, {name}; {without}": (ours.handler, [*alone, *off])
            for name, off in switched.items()
        },
    }


def _nothing(*_: object, **__: object) -> None:
    pass


def _block(handler: Callable[..., Any], event: dict[str, Any]) -> float:
    started = time.process_time()
    for _ in range(BLOCK):
        answer = handler(event, None)
    spent = (time.process_time() - started) / BLOCK
    assert answer["statusCode"] == 200, answer
    return spent


@contextmanager
def _switched(off: Parts) -> Iterator[None]:
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in off]
    try:
        for owner, name, other in off:
            setattr(owner, name, other)
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def _handler(folder: str) -> ModuleType:
    """`handler.py` of a folder, whose own modules are found from then on."""
    sys.modules.pop("handler", None)
    sys.path.insert(0, folder)
    return importlib.import_module("handler")


def _profile(ours: ModuleType, event: dict[str, Any]) -> None:
    import cProfile
    import pstats

    _block(ours.handler, event)
    with cProfile.Profile() as profiler:
        _block(ours.handler, event)
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
