"""What a stage file says about batches over the HTTP API."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from infra.section import Section

BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]


class BatchApiSettings(Section):
    """Batches over the HTTP API."""

    expire_days: int = Field(
        default=30, ge=1, le=365, description="days that a batch and its result are kept"
    )
    buckets: list[BucketName] = Field(
        default=[],
        description="buckets besides the stage's own from which a batch may read its lines; "
        "their policies and keys have to allow it too",
    )
