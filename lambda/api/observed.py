"""What the function tells about its work: its log, its metrics, its traces.

Never an event, a body or a header: they hold the users' texts and keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

logger = Logger()


def count(*, model: str | None, outcome: str, seconds: float) -> None:
    """Write the metrics of one request in CloudWatch's embedded format.

    The outcome is `ok`, `accepted`, or the kind of the problem that was answered.
    """
    metrics = EphemeralMetrics(namespace="Lectern")
    metrics.add_dimension(name="model", value=model or "-")
    metrics.add_dimension(name="outcome", value=outcome)
    metrics.add_metric(name="Requests", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="Latency", unit=MetricUnit.Milliseconds, value=round(seconds * 1000, 3))
    metrics.flush_metrics()


def traced(name: str, **annotations: str) -> Any:  # noqa: ANN401 - a context manager of either kind
    """A subsegment of the request's trace around the block, where traces are on."""
    if os.environ.get("TRACES") != "on":
        return nullcontext()
    return _subsegment(name, annotations)


@contextmanager
def _subsegment(name: str, annotations: dict[str, str]) -> Iterator[None]:
    with _tracer().provider.in_subsegment(name=name) as subsegment:
        for key, value in annotations.items():
            subsegment.put_annotation(key=key, value=value)
        yield


@cache
def _tracer() -> Any:  # noqa: ANN401 - the SDK behind it has no types
    # A fifth of a second of imports, which only those pay who asked for traces.
    from aws_lambda_powertools import Tracer

    return Tracer(auto_patch=False)
