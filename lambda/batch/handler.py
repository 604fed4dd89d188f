"""The work between a batch's file and its transform job: cut the input, join the answers.

Steps of the state machine call it. Cutting and joining end early where time runs out, and say where
the next call goes on, so that no file is too large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

import failures
import join
import split
import store

# Enough to write what is held.
LATE_MILLISECONDS = 60_000
# SageMaker's MB may be either kind; this is the smaller.
MEGABYTE = 1_000_000

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Do one step: `split`, `join`, or `fail`."""
    logger.append_keys(batch=event["batch_id"], step=event["step"])
    match event["step"]:
        case "split":
            longest_bytes = event["max_payload_mb"] * MEGABYTE
            reached = split.split(event, longest_bytes=longest_bytes, is_late=_clock(context))
        case "join":
            reached = join.join(event, is_late=_clock(context))
        case "fail":
            reason = failures.reason(event["error"], event["cause"], event["batch_id"])
            reached = {"over": store.end(event["batch_id"], "Failed", reason=reason)}
        case unknown:
            raise ValueError(f"step: split, join or fail, got {unknown!r}")
    logger.info("reached", extra=reached)
    return reached


def _clock(context: LambdaContext) -> Callable[[], bool]:
    return lambda: context.get_remaining_time_in_millis() < LATE_MILLISECONDS
