"""The thresholds of a multi-label model, read from the lectern.json of its artifact."""

import json
from collections.abc import Sequence
from pathlib import Path

from fault import Fault


def thresholds(model_dir: Path, names: Sequence[str]) -> tuple[float, ...] | None:
    """One a class, in class order; None where none are recorded; raise a server's Fault."""
    recorded = _recorded(model_dir / "lectern.json")
    if recorded is None:
        return None
    if not isinstance(recorded, dict) or set(recorded) != set(names):
        raise _unreadable(f"a number for each of {', '.join(names)[:200]}")
    values = tuple(recorded[name] for name in names)
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise _unreadable("numbers")
    return tuple(float(value) for value in values)


def _recorded(file: Path) -> object:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return document.get("thresholds") if isinstance(document, dict) else None


def _unreadable(allowed: str) -> Fault:
    message = f"lectern.json: thresholds must hold {allowed}: train the model again, or drop them"
    return Fault("model_not_loaded", message, fault="server")
