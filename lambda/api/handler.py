"""The HTTP API in front of the models: one function a route, parse → call → answer.

API Gateway has matched the path already, so a route is looked up by the resource's own name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

import faults
import models
import predictions
from exchange import Answer, Request
from observed import count, logger
from problems import Problem

# Headers of answers that a page of another origin may read.
EXPOSED = (
    "Idempotent-Replayed, Location, Retry-After, "
    "x-lectern-model-version, x-lectern-truncated, x-request-id"
)


def health(_: Request) -> Answer:
    """Say that the function runs."""
    return Answer({"status": "ok"})


def list_models(_: Request) -> Answer:
    """Tell what is served, in which state, from which version."""
    return Answer({"models": models.describe_all()})


def get_model(request: Request) -> Answer:
    """Tell the same of one model."""
    return Answer(models.describe(models.find(request.path_parameters["model"])))


def predict(request: Request) -> Answer:
    """Answer inputs with predictions, in the toolkit's shapes."""
    return predictions.answer(models.find(request.path_parameters["model"]), request)


def predict_as_hugging_face(request: Request) -> Answer:
    """Answer inputs with predictions, in the shapes of Hugging Face's Inference API."""
    import hugging_face

    return hugging_face.answer(models.find(request.path_parameters["model"]), request)


def get_openapi(request: Request) -> Answer:
    """Answer the OpenAPI document of this deployment."""
    import openapi

    return openapi.answer(request)


def show_playground(request: Request) -> Answer:
    """Show the page on which a person tries the models."""
    import pages

    return pages.playground(request)


def show_documentation(request: Request) -> Answer:
    """Show the OpenAPI document to a person."""
    import pages

    return pages.documentation(request)


def start_batch(request: Request) -> Answer:
    """Start a batch over inline lines, an object in S3, or an upload to come."""
    import batches

    return batches.start(models.find(request.path_parameters["model"]), request)


def list_batches(request: Request) -> Answer:
    """Tell how the caller's batches stand, newest first."""
    import batches

    return batches.list_newest(request)


def stop_batch(request: Request) -> Answer:
    """Stop a batch that is not over."""
    import batches

    return batches.stop(request.path_parameters["batch"], request)


def get_batch(request: Request) -> Answer:
    """Tell how a batch stands and where its result is."""
    import batches

    return batches.describe(request.path_parameters["batch"], request)


def get_result(request: Request) -> Answer:
    """Answer with what came of a call that was not waited for."""
    import results

    return results.find(request)


# Rooms that few requests enter are imported when one does: see `import` inside of functions.
ROUTES: dict[tuple[str, str], Callable[[Request], Answer]] = {
    ("GET", "/"): show_playground,
    ("GET", "/v1/docs"): show_documentation,
    ("GET", "/v1/health"): health,
    ("GET", "/v1/models"): list_models,
    ("GET", "/v1/models/{model}"): get_model,
    ("POST", "/v1/models/{model}"): predict,
    ("GET", "/v1/openapi.json"): get_openapi,
    ("POST", "/hf/models/{model}"): predict_as_hugging_face,
    ("POST", "/v1/models/{model}/batches"): start_batch,
    ("GET", "/v1/batches"): list_batches,
    ("GET", "/v1/batches/{batch}"): get_batch,
    ("DELETE", "/v1/batches/{batch}"): stop_batch,
    ("GET", "/v1/results/{result}"): get_result,
}


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one event of API Gateway; what no route expects reaches the log and the alarm."""
    started = time.perf_counter()
    request = Request.of(event)
    logger.set_correlation_id(request.request_id)
    model = request.path_parameters.get("model")
    outcome, status = "crash", 500
    try:
        answer = _route(request)(request)
        outcome = "accepted" if answer.status == 202 else "ok"
        status = answer.status
        return answer.for_gateway(request.request_id, _cors(request))
    except Problem as problem:
        outcome, status = problem.kind, problem.status
        return _answer_problem(problem, request)
    except ClientError as error:
        if not faults.is_throttle(error):
            raise
        busy = faults.busy()
        outcome, status = busy.kind, busy.status
        return _answer_problem(busy, request, cause=error)
    finally:
        seconds = time.perf_counter() - started
        known = model if model in models.catalogue() else None
        count(model=known, outcome=outcome, seconds=seconds)
        logger.info(
            "answered",
            extra={
                "route": request.resource,
                "method": request.method,
                "model": known,
                "status": status,
                "outcome": outcome,
                "milliseconds": round(seconds * 1000, 1),
                "aws_request_id": getattr(context, "aws_request_id", None),
            },
        )


# Where time before the first request is free: a snapshot, or an environment held ready.
if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in ("snap-start", "provisioned-concurrency"):
    predictions.prepare()


def _route(request: Request) -> Callable[[Request], Answer]:
    route = ROUTES.get((request.method, request.resource))
    if route is None:
        raise Problem("not-found", f"there is no {request.method} {request.path}")
    return route


def _answer_problem(
    problem: Problem, request: Request, *, cause: BaseException | None = None
) -> dict[str, Any]:
    # The cause's own text may quote what a user sent, so its type and the container's log must do.
    cause = cause or problem.__cause__
    response: Any = cause.response if isinstance(cause, ClientError) else {}
    level = logger.error if problem.status >= 500 else logger.info
    level(
        problem.kind,
        extra={
            "status": problem.status,
            "cause": type(cause).__name__ if cause is not None else None,
            "container_log": response.get("LogStreamArn"),
        },
    )
    return problem.for_gateway(request.request_id, _cors(request))


def _cors(request: Request) -> dict[str, str]:
    """What lets the page that asks read the answer, where the stage file names its origin."""
    origins = os.environ.get("CORS_ORIGINS", "").split()
    origin = request.headers.get("origin")
    if origin is None or not origins or ("*" not in origins and origin not in origins):
        return {}
    return {
        "Access-Control-Allow-Origin": "*" if "*" in origins else origin,
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
    }
