"""Where answers that come later lie in the data bucket, and for how long.

An id's folder holds what the API wrote about one call; SageMaker names its own objects, so they
lie beside the folders, one prefix a model.
"""

from __future__ import annotations

PREFIX = "results/"
KEPT_DAYS = 7
INPUTS = f"{PREFIX}*/input.json"
RECORDS = f"{PREFIX}*/record.json"
# Of the function that asks later: its claim on a call, and what came of the call.
CLAIMS = f"{PREFIX}*/claim.json"
OUTCOMES = f"{PREFIX}*/outcome.json"
ANSWERS = f"{PREFIX}answers/*"
FAILURES = f"{PREFIX}failures/*"
SMOKE_TESTS = f"{PREFIX}smoke/*"


def outputs(model: str) -> tuple[str, str]:
    """The keys under which an async endpoint writes answers, and failures."""
    return f"{PREFIX}answers/{model}/*", f"{PREFIX}failures/{model}/*"
