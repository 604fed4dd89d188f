"""Why a batch failed, in words for whoever started it: never a container's, a path or a trace."""

from __future__ import annotations

import json


def reason(error: str, cause: str, batch_id: str) -> str:
    """What the batch's record says of the error that ended its execution."""
    if error == "Ssm.ParameterNotFoundException":
        return "no version of the model was in service when the batch began"
    if error in ("InputRefusedError", "AnswersMissingError"):
        return _message(cause)
    if error == "States.TaskFailed" or error.startswith("SageMaker."):
        return (
            "the transform job failed; its log streams are "
            f"/aws/sagemaker/TransformJobs {batch_id}/*, its reason is in DescribeTransformJob"
        )
    return f"the batch could not be worked on ({error}); the history of its execution says more"


def _message(cause: str) -> str:
    # Lambda's form of what an exception said.
    message: str = json.loads(cause)["errorMessage"]
    return message
