"""The new model against the approved version, on the same rows and the same resamples of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bootstrap import rounded, spread
from predictions import Classifier
from scored import Figures


def why_not(candidate: Classifier, approved: Classifier) -> str | None:
    """Why two models cannot be measured on the same rows; None where they can."""
    if candidate.problem != approved.problem:
        return f"its problem is {approved.problem}, that of the new model {candidate.problem}"
    missing, surplus = (
        sorted(set(one.labels) - set(other.labels))
        for one, other in ((candidate, approved), (approved, candidate))
    )
    if missing or surplus:
        parts = [f"it lacks {_listed(missing)}"] if missing else []
        parts += [f"it has {_listed(surplus)} that the new model lacks"] if surplus else []
        return f"its classes are others: {', '.join(parts)}"
    return None


def columns(candidate: Classifier, approved: Classifier) -> list[int]:
    """Where the approved version has each class of the candidate."""
    at = {label: i for i, label in enumerate(approved.labels)}
    return [at[label] for label in candidate.labels]


def compare(
    version: str,
    candidate: Mapping[str, float | None],
    approved: Mapping[str, float | None],
    draws: Sequence[Figures],
) -> dict[str, Any]:
    """The member "comparison" of evaluation.json; `draws` are the candidate's and the approved's.

    Differences are candidate - approved, resample by resample, so that what both models find hard
    in a resample cancels out.
    """
    return {
        "version": version,
        "metrics": {
            name: _compared(candidate[name], approved[name], draws[0][name] - draws[1][name])
            for name in candidate
        },
    }


def _compared(
    candidate: float | None, approved: float | None, differences: np.ndarray
) -> dict[str, Any]:
    error, interval = spread(differences)
    defined = candidate is not None and approved is not None
    return {
        "approved": approved,
        "candidate": candidate,
        "difference": rounded(candidate - approved) if defined else None,  # type: ignore[operator]
        "standard_error": error,
        "confidence_interval": interval,
    }


def _listed(names: Sequence[str]) -> str:
    some = ", ".join(f"'{name[:40]}'" for name in names[:5])
    return some if len(names) <= 5 else f"{some} and {len(names) - 5} more"
