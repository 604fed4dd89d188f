"""A SageMaker that runs on this machine: jobs, endpoints and pipelines as subprocesses."""

from local.sagemaker.errors import SageMakerError
from local.sagemaker.service import Answer, Platform, SageMaker

__all__ = ["Answer", "Platform", "SageMaker", "SageMakerError"]
