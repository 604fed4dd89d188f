"""The errors SageMaker answers with, under AWS's codes."""

from __future__ import annotations

from typing import Any

from local.sagemaker.store import Json


class SageMakerError(Exception):
    """An error that a client sees: code, message, HTTP status, further members."""

    code: str = "InternalFailure"
    status: int = 400

    def __init__(
        self, message: str, *, code: str | None = None, status: int | None = None, **extra: Json
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.status = status or type(self).status
        self.extra: dict[str, Any] = extra


class ValidationException(SageMakerError):
    """The request is not valid, or names something that most operations call not found."""

    code = "ValidationException"


class ResourceNotFound(SageMakerError):
    """What the request names does not exist."""

    code = "ResourceNotFound"


class ResourceInUse(SageMakerError):
    """What the request names exists already or is held by something else."""

    code = "ResourceInUse"


class ResourceLimitExceeded(SageMakerError):
    """A quota is reached."""

    code = "ResourceLimitExceeded"


class ConflictException(SageMakerError):
    """The request conflicts with the state of what it names."""

    code = "ConflictException"


class UnknownOperationException(SageMakerError):
    """The operation is not SageMaker's, or not run on this machine."""

    code = "UnknownOperationException"


class ValidationError(SageMakerError):
    """Runtime: the invocation is not valid, or the endpoint does not exist."""

    code = "ValidationError"


class ModelError(SageMakerError):
    """Runtime: the container answered an error; `extra` says which."""

    code = "ModelError"
    status = 424


class ModelNotReadyException(SageMakerError):
    """Runtime: the serverless variant is still starting."""

    code = "ModelNotReadyException"
    status = 429


class ThrottlingException(SageMakerError):
    """Runtime: as many requests as the serverless variant may have are under way."""

    code = "ThrottlingException"
    status = 400


class ServiceUnavailable(SageMakerError):
    """Runtime: no serving process can take the request now."""

    code = "ServiceUnavailable"
    status = 503
