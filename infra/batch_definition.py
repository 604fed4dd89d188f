"""The state machine of one batch as plain data: look the model up, run a transform job."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def batch_definition(*, partition: str, model_parameters: str, key_arn: str) -> Json:
    """The document in Amazon States Language.

    Input: model, batch_id (the job's name too), input_uri, output_uri, content_type.
    """
    return {
        "Comment": "answers each line of a file with one line",
        "StartAt": "FindModel",
        "States": {
            "FindModel": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::aws-sdk:ssm:getParameter",
                "Parameters": {"Name.$": f"States.Format('{model_parameters}{{}}', $.model)"},
                "ResultSelector": {"record.$": "States.StringToJson($.Parameter.Value)"},
                "ResultPath": "$.found",
                "Catch": [
                    {"ErrorEquals": ["Ssm.ParameterNotFoundException"], "Next": "NothingServes"}
                ],
                "Next": "Transform",
            },
            "Transform": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::sagemaker:createTransformJob.sync",
                "Parameters": _transform_job(key_arn),
                "Retry": [
                    {
                        # The account's quota of machines; the job does not exist yet then.
                        "ErrorEquals": ["SageMaker.ResourceLimitExceededException"],
                        "IntervalSeconds": 60,
                        "BackoffRate": 2.0,
                        "MaxAttempts": 5,
                    }
                ],
                "End": True,
            },
            "NothingServes": {
                "Type": "Fail",
                "Error": "NothingServes",
                "Cause": "the model is not deployed: approve a version of its pipeline first",
            },
        },
    }


def _transform_job(key_arn: str) -> Json:
    return {
        "TransformJobName.$": "$.batch_id",
        "ModelName.$": "$.found.record.model_name",
        "BatchStrategy": "MultiRecord",
        "MaxPayloadInMB.$": "$.found.record.batch.max_payload_mb",
        "MaxConcurrentTransforms.$": "$.found.record.batch.max_concurrent_requests",
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 1},
        "TransformInput": {
            "ContentType.$": "$.content_type",
            "CompressionType": "None",
            "SplitType": "Line",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri.$": "$.input_uri"}},
        },
        "TransformOutput": {
            "S3OutputPath.$": "$.output_uri",
            "Accept": "application/jsonlines",
            "AssembleWith": "Line",
            "KmsKeyId": key_arn,
        },
        "TransformResources.$": "$.found.record.batch.resources",
    }
