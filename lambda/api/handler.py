"""The HTTP API in front of the models: one function a route, parse → call → answer."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

import batches
import faults
import models
import predictions
import requested
from problems import Problem

# Never the event, a body or a header: they hold the users' texts and keys.
logger = Logger()
app = APIGatewayRestResolver()


@app.get("/v1/health")
def health() -> dict[str, str]:
    """Say that the function runs."""
    return {"status": "ok"}


@app.get("/v1/models")
def list_models() -> dict[str, Any]:
    """Tell what is served, in which state, from which version."""
    return {"models": models.describe_all()}


@app.get("/v1/models/<model>")
def get_model(model: str) -> dict[str, Any]:
    """Tell the same of one model."""
    return models.describe(models.find(model))


@app.post("/v1/models/<model>")
def predict(model: str) -> Response[str]:
    """Answer inputs with predictions."""
    found = models.find(model)
    asked = requested.prediction(app.current_event, task=found.task, kind=found.kind)
    answer = predictions.predict(found, asked)
    headers = {"x-lectern-model-version": answer.version}
    if answer.truncated:
        headers["x-lectern-truncated"] = str(answer.truncated)
    return Response(status_code=200, content_type=asked.accept, body=answer.body, headers=headers)


@app.post("/v1/models/<model>/batches")
def start_batch(model: str) -> Response[dict[str, Any]]:
    """Start a batch over inline lines or an object in the data bucket."""
    found = models.find(model)
    lines = requested.batch(app.current_event)
    batch = batches.start(found, lines)
    # Relative, so that it holds behind a stage's path and a custom domain alike.
    location = {"Location": f"../../batches/{batch['id']}"}
    return Response(status_code=202, content_type="application/json", body=batch, headers=location)


@app.get("/v1/batches/<batch_id>")
def get_batch(batch_id: str) -> dict[str, Any]:
    """Tell how a batch stands and where its result is."""
    return batches.describe(batch_id)


@app.not_found
def answer_unknown_route(_: NotFoundError) -> Response[str]:
    """Answer a path or method that the API does not have."""
    event = app.current_event
    return _answer(Problem("not-found", f"there is no {event.http_method} {event.path}"))


@app.exception_handler(Problem)  # type: ignore[untyped-decorator]
def answer_problem(problem: Problem) -> Response[str]:
    """Answer a problem that a route raised."""
    return _answer(problem)


@app.exception_handler(ClientError)  # type: ignore[untyped-decorator]
def answer_throttle(error: ClientError) -> Response[str]:
    """Answer AWS's own throttles; anything else belongs to the log and the alarm."""
    if not faults.is_throttle(error):
        raise error
    return _answer(faults.busy())


def _answer(problem: Problem) -> Response[str]:
    # The cause's own text may quote what a user sent, so its type and the container's log must do.
    cause = problem.__cause__
    response: Any = cause.response if isinstance(cause, ClientError) else {}
    level = logger.error if problem.status >= 500 else logger.info
    level(
        problem.kind,
        extra={
            "status": problem.status,
            "model": app.current_event.path_parameters.get("model"),
            "cause": type(cause).__name__ if cause is not None else None,
            "container_log": response.get("LogStreamArn"),
        },
    )
    return problem.response(app.current_event.request_context.request_id or "")


@logger.inject_lambda_context(
    correlation_id_path=correlation_paths.API_GATEWAY_REST, clear_state=True
)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Resolve one API Gateway event."""
    answer = app.resolve(event, context)
    logger.info(
        "answered",
        extra={
            "route": event.get("resource"),
            "method": event.get("httpMethod"),
            "status": answer["statusCode"],
        },
    )
    return answer
