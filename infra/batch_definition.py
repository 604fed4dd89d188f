"""The state machine of one batch as plain data: cut the input, run a transform job, join answers.

It is told the batch's id, or the key of an upload, which ends in the id. All else stands in the
table; a batch that is not waiting to begin does not begin again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

AFTER_A_FAILURE = "TellFailure"


@dataclass(frozen=True)
class BatchParts:
    """What the state machine works with."""

    partition: str
    model_parameters: str
    key_arn: str
    table_name: str
    function_arn: str
    runs_uri: str
    """`s3://…/` under which each batch has a folder of its own."""


def batch_definition(parts: BatchParts) -> Json:
    """The document in Amazon States Language; its input is `{"batch_id"}` or `{"upload": key}`."""
    return {
        "Comment": "answers each line of a file with one line",
        "StartAt": "WhichBatch",
        "States": {
            "WhichBatch": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.batch_id", "IsPresent": True, "Next": "Begin"}],
                "Default": "NameOfUpload",
            },
            "NameOfUpload": {
                "Type": "Pass",
                "Parameters": {
                    "batch_id.$": "States.ArrayGetItem(States.StringSplit($.upload, '/'), 1)"
                },
                "Next": "Begin",
            },
            "Begin": _begin(parts),
            "AlreadyBegun": {"Type": "Succeed"},
            "FindModel": {
                "Type": "Task",
                "Resource": f"arn:{parts.partition}:states:::aws-sdk:ssm:getParameter",
                "Parameters": {"Name.$": f"States.Format('{parts.model_parameters}{{}}', $.model)"},
                "ResultSelector": {"record.$": "States.StringToJson($.Parameter.Value)"},
                "ResultPath": "$.found",
                "Catch": [_told()],
                "Next": "Split",
            },
            "Split": _work(
                parts,
                "split",
                {
                    "input.$": "$.input",
                    "max_payload_mb.$": "$.found.record.batch.max_payload_mb",
                },
            ),
            "IsSplit": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.split.over", "BooleanEquals": False, "Next": "Split"},
                    {"Variable": "$.split.lines", "NumericEquals": 0, "Next": "Join"},
                ],
                "Default": "Transform",
            },
            "Transform": {
                "Type": "Task",
                "Resource": f"arn:{parts.partition}:states:::sagemaker:createTransformJob.sync",
                "Parameters": _transform_job(parts),
                "Retry": [
                    {
                        # The account's quota of machines; the job does not exist yet then.
                        "ErrorEquals": ["SageMaker.ResourceLimitExceededException"],
                        "IntervalSeconds": 60,
                        "BackoffRate": 2.0,
                        "MaxAttempts": 5,
                    }
                ],
                "ResultPath": "$.job",
                "Catch": [_told()],
                "Next": "Join",
            },
            "Join": _work(parts, "join", {}),
            "IsJoined": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.join.over", "BooleanEquals": False, "Next": "Join"}],
                "Default": "Done",
            },
            "Done": {"Type": "Succeed"},
            AFTER_A_FAILURE: {
                "Type": "Task",
                "Resource": parts.function_arn,
                "Parameters": {
                    "step": "fail",
                    "batch_id.$": "$.batch_id",
                    "error.$": "$.failed.Error",
                    "cause.$": "$.failed.Cause",
                },
                "ResultPath": "$.told",
                "Retry": [_again()],
                "Next": "Failed",
            },
            "Failed": {
                "Type": "Fail",
                "ErrorPath": "$.failed.Error",
                "CausePath": "$.failed.Cause",
            },
        },
    }


def _begin(parts: BatchParts) -> Json:
    """Mark the batch as begun by this execution, and learn what it is about."""
    return {
        "Type": "Task",
        "Resource": f"arn:{parts.partition}:states:::dynamodb:updateItem",
        "Parameters": {
            "TableName": parts.table_name,
            "Key": {"id": {"S.$": "$.batch_id"}},
            "UpdateExpression": "SET #state = :begun, #started = :now, #execution = :execution",
            # A second upload, or a batch that was stopped meanwhile, changes nothing.
            "ConditionExpression": (
                "#state = :awaited OR (#state = :begun AND attribute_not_exists(#execution))"
            ),
            "ExpressionAttributeNames": {
                "#state": "state",
                "#started": "started",
                "#execution": "execution",
            },
            "ExpressionAttributeValues": {
                ":awaited": {"S": "AwaitingUpload"},
                ":begun": {"S": "InProgress"},
                ":now": {"S.$": "$$.State.EnteredTime"},
                ":execution": {"S.$": "$$.Execution.Id"},
            },
            "ReturnValues": "ALL_NEW",
        },
        "ResultSelector": {
            "batch_id.$": "$.Attributes.id.S",
            "model.$": "$.Attributes.model.S",
            "input.$": "$.Attributes.input.S",
            "content_type.$": "$.Attributes.content_type.S",
            "split": {"cursor": {}},
            "join": {"cursor": {}},
        },
        "Retry": [
            {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "MaxAttempts": 0},
            _again(),
        ],
        "Catch": [
            {
                "ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"],
                "Next": "AlreadyBegun",
            }
        ],
        "Next": "FindModel",
    }


def _work(parts: BatchParts, step: str, more: Json) -> Json:
    """A step of the function, which goes on from where it came to."""
    return {
        "Type": "Task",
        "Resource": parts.function_arn,
        "Parameters": {
            "step": step,
            "batch_id.$": "$.batch_id",
            "content_type.$": "$.content_type",
            "cursor.$": f"$.{step}.cursor",
            **more,
        },
        "ResultPath": f"$.{step}",
        "Retry": [
            {"ErrorEquals": ["InputRefusedError", "AnswersMissingError"], "MaxAttempts": 0},
            _again(),
        ],
        "Catch": [_told()],
        "Next": {"split": "IsSplit", "join": "IsJoined"}[step],
    }


def _again() -> Json:
    return {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": 5,
        "BackoffRate": 3.0,
        "MaxAttempts": 3,
    }


def _told() -> Json:
    return {"ErrorEquals": ["States.ALL"], "ResultPath": "$.failed", "Next": AFTER_A_FAILURE}


def _transform_job(parts: BatchParts) -> Json:
    return {
        "TransformJobName.$": "$.batch_id",
        "ModelName.$": "$.found.record.model_name",
        "BatchStrategy": "MultiRecord",
        "MaxPayloadInMB.$": "$.found.record.batch.max_payload_mb",
        "MaxConcurrentTransforms.$": "$.found.record.batch.max_concurrent_requests",
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 1},
        "TransformInput": {
            "ContentType": "application/jsonlines",
            "CompressionType": "None",
            "SplitType": "Line",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri.$": f"States.Format('{parts.runs_uri}{{}}/parts/', $.batch_id)",
                }
            },
        },
        "TransformOutput": {
            "S3OutputPath.$": f"States.Format('{parts.runs_uri}{{}}/answers/', $.batch_id)",
            "Accept": "application/jsonlines",
            "AssembleWith": "Line",
            "KmsKeyId": parts.key_arn,
        },
        "TransformResources.$": "$.found.record.batch.resources",
    }
