"""The routes of the HTTP API: which paths there are, what their bodies hold, who may ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from infra.api_settings import PagesSettings

Body = Literal["prediction", "hugging-face", "batch"]


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    verb: str
    path: str
    body: Body | None = None
    """The model that the gateway holds a JSON body against."""
    open_because: str | None = None
    """Why nobody has to say who they are; None where everybody has."""
    bearer: bool = False
    """Whether callers may bring their key as a bearer token."""


_ROUTES = (
    Route("GET", "/v1/health", open_because="health says nothing that needs a key"),
    Route("GET", "/v1/models"),
    Route("GET", "/v1/models/{model}"),
    Route("POST", "/v1/models/{model}", body="prediction"),
    Route("POST", "/v1/models/{model}/batches", body="batch"),
    Route("GET", "/v1/batches"),
    Route("GET", "/v1/batches/{batch}"),
    Route("DELETE", "/v1/batches/{batch}"),
    Route("GET", "/v1/results/{result}"),
    Route("POST", "/hf/models/{model}", body="hugging-face", bearer=True),
)
_PLAYGROUND = Route("GET", "/", open_because="the page asks for a key and holds none")
_DOCUMENTATION = tuple(
    Route("GET", path, open_because="documentation names models and tasks, and nothing else")
    for path in ("/v1/openapi.json", "/v1/docs")
)


def routes(pages: PagesSettings) -> Iterator[Route]:
    """Every route of an API with these pages."""
    yield from _ROUTES
    if pages.playground:
        yield _PLAYGROUND
    if pages.documentation:
        yield from _DOCUMENTATION
