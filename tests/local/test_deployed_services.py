"""The services around the models, deployed by CloudFormation as the stacks deploy them."""

from __future__ import annotations

import json
import time

import pytest

RECEIVE = """
import json, os
import boto3

def handler(event, context):
    body = json.loads(event["Records"][0]["body"])
    boto3.client("ssm").put_parameter(
        Name=os.environ["HEARD"], Type="String", Overwrite=True,
        Value=json.dumps({"type": body["detail-type"], "detail": body["detail"], "seconds": context.get_remaining_time_in_millis() / 1000}),
    )
    if body["detail"]["ModelPackageGroupName"] == "busy":
        raise RuntimeError("come again")
"""


def events_template(aws):
    return {
        "Resources": {
            "Dead": {"Type": "AWS::SQS::Queue", "Properties": {"SqsManagedSseEnabled": True}},
            "Queue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "VisibilityTimeout": 1,
                    "RedrivePolicy": {
                        "deadLetterTargetArn": {"Fn::GetAtt": ["Dead", "Arn"]},
                        "maxReceiveCount": 2,
                    },
                },
            },
            "QueuePolicy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {
                    "Queues": [{"Ref": "Queue"}],
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Principal": {"Service": "events.amazonaws.com"},
                                "Action": "sqs:SendMessage",
                                "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
                            }
                        ],
                    },
                },
            },
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "EventPattern": {
                        "source": ["aws.sagemaker"],
                        "detail-type": ["SageMaker Model Package State Change"],
                        "detail": {"ModelPackageGroupName": ["reviews", "busy"]},
                    },
                    "Targets": [{"Id": "Queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}],
                },
            },
            "Function": aws.function(
                RECEIVE, Timeout=45, Environment={"Variables": {"HEARD": "/heard"}}
            ),
            "Mapping": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {
                    "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
                    "FunctionName": {"Ref": "Function"},
                    "BatchSize": 1,
                },
            },
        },
        "Outputs": {"Dead": {"Value": {"Ref": "Dead"}}, "Function": {"Value": {"Ref": "Function"}}},
    }


@pytest.fixture(scope="module")
def events(aws):
    status = aws.create_stack("events", events_template(aws))
    assert status == "CREATE_COMPLETE", aws.reasons("events")
    return aws.outputs("events")


def emit(aws, group):
    """An event as SageMaker itself emits it: the stand-in's tag call does so on request."""
    aws.client("sagemaker").add_tags(
        ResourceArn="arn:aws:sagemaker:us-east-1:123456789012:event/1",
        Tags=[{"Key": "ModelPackageGroupName", "Value": group}],
    )


def eventually(look, seconds=15):
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except Exception:
            if time.monotonic() > deadline:
                raise
        else:
            if found or time.monotonic() > deadline:
                return found
        time.sleep(0.1)


def heard(aws):
    return json.loads(aws.client("ssm").get_parameter(Name="/heard")["Parameter"]["Value"])


def test_an_event_of_sagemaker_reaches_the_function_through_rule_and_queue(aws, events):
    emit(aws, "other")
    emit(aws, "reviews")
    message = eventually(lambda: heard(aws))
    assert message["type"] == "SageMaker Model Package State Change"
    assert message["detail"] == {"ModelPackageGroupName": "reviews"}
    assert 30 < message["seconds"] <= 45


def test_a_function_that_raises_gets_the_message_again_and_then_loses_it_to_the_dead_letters(
    aws, events
):
    emit(aws, "busy")
    sqs = aws.client("sqs")
    messages = eventually(
        lambda: sqs.receive_message(QueueUrl=events["Dead"]).get("Messages"), seconds=20
    )
    assert json.loads(messages[0]["Body"])["detail"] == {"ModelPackageGroupName": "busy"}


def machine_template():
    definition = {
        "StartAt": "Record",
        "States": {
            "Record": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:ssm:getParameter",
                "Parameters": {"Name.$": "States.Format('/machine/{}', $.model)"},
                "ResultSelector": {"record.$": "States.StringToJson($.Parameter.Value)"},
                "ResultPath": "$.found",
                "Next": "Transform",
            },
            "Transform": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sagemaker:createTransformJob.sync",
                "Parameters": {
                    "TransformJobName.$": "$$.Execution.Name",
                    "ModelName.$": "$.found.record.model_name",
                    "TransformInput": {
                        "ContentType.$": "$.content_type",
                        "SplitType": "Line",
                        "DataSource": {
                            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri.$": "$.input_uri"}
                        },
                    },
                    "TransformOutput": {"S3OutputPath.$": "$.output_uri"},
                    "TransformResources": {
                        "InstanceCount.$": "$.found.record.instance_count",
                        "InstanceType": "ml.m5.large",
                    },
                },
                "ResultSelector": {
                    "name.$": "$.TransformJobName",
                    "model.$": "$.ModelName",
                    "status.$": "$.TransformJobStatus",
                    "ended.$": "$.TransformEndTime",
                },
                "TimeoutSeconds": 3,
                "End": True,
            },
        },
    }
    text = json.dumps(definition)
    middle = text.index("/machine/")
    return {
        "Resources": {
            "Record": {
                "Type": "AWS::SSM::Parameter",
                "Properties": {
                    "Type": "String",
                    "Name": "/machine/topics",
                    "Value": '{"model_name": "m-1", "instance_count": 1}',
                },
            },
            "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/anything",
                    "DefinitionString": {
                        "Fn::Join": ["", [text[:middle], "/${Prefix}/", text[middle + 9 :]]]
                    },
                    "DefinitionSubstitutions": {"Prefix": "machine"},
                    "LoggingConfiguration": {
                        "Level": "ALL",
                        "IncludeExecutionData": False,
                        "Destinations": [
                            {
                                "CloudWatchLogsLogGroup": {
                                    "LogGroupArn": {"Fn::GetAtt": ["Log", "Arn"]}
                                }
                            }
                        ],
                    },
                    "TracingConfiguration": {"Enabled": True},
                },
            },
        },
        "Outputs": {"Machine": {"Value": {"Ref": "Machine"}}},
    }


@pytest.fixture(scope="module")
def machine(aws):
    status = aws.create_stack("machine", machine_template())
    assert status == "CREATE_COMPLETE", aws.reasons("machine")
    return aws.outputs("machine")["Machine"]


def start(aws, machine, name):
    batch = {
        "model": "topics",
        "input_uri": "s3://data/in",
        "output_uri": "s3://data/out",
        "content_type": "application/jsonlines",
    }
    return aws.client("stepfunctions").start_execution(
        stateMachineArn=machine, name=name, input=json.dumps(batch)
    )["executionArn"]


def ended(aws, execution):
    states = aws.client("stepfunctions")
    return eventually(
        lambda: (
            found := states.describe_execution(executionArn=execution),
            found["status"] != "RUNNING" and found,
        )[1]
    )


def test_a_batch_finds_its_model_and_answers_with_the_jobs_description(aws, machine):
    execution = ended(aws, start(aws, machine, "batch-1"))
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert abs(output.pop("ended") - time.time() * 1000) < 60_000
    assert output == {"name": "batch-1", "model": "m-1", "status": "Completed"}


def test_a_failed_job_fails_the_execution_with_its_reason(aws, machine):
    execution = ended(aws, start(aws, machine, "batch-fails"))
    assert execution["status"] == "FAILED"
    assert execution["error"] == "States.TaskFailed"
    assert json.loads(execution["cause"])["FailureReason"] == "the job was told to fail"


def test_a_name_that_is_taken_fails_the_execution_as_sagemakers_refusal(aws, machine):
    ended(aws, start(aws, machine, "batch-2"))
    again = aws.create_stack(
        "machine-2",
        {
            **machine_template(),
            "Resources": {
                k: v for k, v in machine_template()["Resources"].items() if k != "Record"
            },
        },
    )
    assert again == "CREATE_COMPLETE"
    execution = ended(aws, start(aws, aws.outputs("machine-2")["Machine"], "batch-2"))
    assert execution["status"] == "FAILED"
    assert execution["error"] == "SageMaker.AmazonSageMakerException"
    assert "already existing" in execution["cause"]


def job_status(aws, name):
    job = aws.client("sagemaker").describe_transform_job(TransformJobName=name)
    return job["TransformJobStatus"]


def test_stopping_an_execution_stops_its_job_and_the_execution_stays_stopped(aws, machine):
    execution = start(aws, machine, "batch-runs")
    assert eventually(lambda: job_status(aws, "batch-runs")) == "InProgress"
    aws.client("stepfunctions").stop_execution(executionArn=execution)
    assert eventually(lambda: job_status(aws, "batch-runs") == "Stopped")
    time.sleep(0.5)
    assert ended(aws, execution)["status"] == "ABORTED"


def test_an_execution_stays_stopped_when_its_job_is_stopped_as_well(aws, machine):
    execution = start(aws, machine, "batch-runs-twice")
    sagemaker = aws.client("sagemaker")
    assert eventually(lambda: job_status(aws, "batch-runs-twice")) == "InProgress"
    aws.client("stepfunctions").stop_execution(executionArn=execution)
    sagemaker.stop_transform_job(TransformJobName="batch-runs-twice")
    time.sleep(0.5)
    assert ended(aws, execution)["status"] == "ABORTED"


def test_a_task_whose_time_is_over_stops_its_job(aws, machine):
    execution = ended(aws, start(aws, machine, "batch-runs-on"))
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")
    assert eventually(lambda: job_status(aws, "batch-runs-on") == "Stopped")


def storage_template(**more):
    return {
        "Resources": {
            "Key": {
                "Type": "AWS::KMS::Key",
                "Properties": {
                    "EnableKeyRotation": True,
                    "KeyPolicy": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                                "Action": "kms:*",
                                "Resource": "*",
                            }
                        ],
                    },
                },
                "UpdateReplacePolicy": "Retain",
                "DeletionPolicy": "Retain",
            },
            "Logs": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
                },
            },
            "Data": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "BucketEncryption": {
                        "ServerSideEncryptionConfiguration": [
                            {
                                "BucketKeyEnabled": True,
                                "ServerSideEncryptionByDefault": {
                                    "SSEAlgorithm": "aws:kms",
                                    "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]},
                                },
                            }
                        ]
                    },
                    "LifecycleConfiguration": {
                        "Rules": [
                            {
                                "Id": "old",
                                "Status": "Enabled",
                                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                                "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                            }
                        ]
                    },
                    "LoggingConfiguration": {
                        "DestinationBucketName": {"Ref": "Logs"},
                        "LogFilePrefix": "data/",
                    },
                    "NotificationConfiguration": {
                        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
                    },
                    "PublicAccessBlockConfiguration": {
                        "BlockPublicAcls": True,
                        "BlockPublicPolicy": True,
                        "IgnorePublicAcls": True,
                        "RestrictPublicBuckets": True,
                    },
                    "VersioningConfiguration": {"Status": "Enabled"},
                },
            },
            "DataPolicy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {
                    "Bucket": {"Ref": "Data"},
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Deny",
                                "Principal": {"AWS": "*"},
                                "Action": "s3:*",
                                "Resource": {"Fn::GetAtt": ["Data", "Arn"]},
                                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                            }
                        ],
                    },
                },
            },
            "Group": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"RetentionInDays": 30, "KmsKeyId": {"Fn::GetAtt": ["Key", "Arn"]}},
            },
            "Alarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": "Invocation4XXErrors",
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": "topics"},
                        {"Name": "VariantName", "Value": "AllTraffic"},
                    ],
                    "Statistic": "Sum",
                    "Period": 60,
                    "EvaluationPeriods": 5,
                    "DatapointsToAlarm": 3,
                    "Threshold": 5,
                    "ComparisonOperator": "GreaterThanThreshold",
                    "TreatMissingData": "notBreaching",
                },
            },
            **more,
        },
        "Outputs": {
            "Data": {"Value": {"Ref": "Data"}},
            "Key": {"Value": {"Ref": "Key"}},
            "Group": {"Value": {"Ref": "Group"}},
            "Alarm": {"Value": {"Ref": "Alarm"}},
        },
    }


def test_storage_keys_logs_and_alarms_are_deployed(aws):
    assert aws.create_stack("storage", storage_template()) == "CREATE_COMPLETE", aws.reasons(
        "storage"
    )
    outputs = aws.outputs("storage")
    s3, bucket = aws.client("s3"), outputs["Data"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"][
        "BlockPublicAcls"
    ]
    assert "SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert aws.client("kms").get_key_rotation_status(KeyId=outputs["Key"])["KeyRotationEnabled"]
    group = aws.client("logs").describe_log_groups(logGroupNamePrefix=outputs["Group"])[
        "logGroups"
    ][0]
    assert group["retentionInDays"] == 30
    assert group["kmsKeyId"].endswith(outputs["Key"])
    alarm = aws.client("cloudwatch").describe_alarms(AlarmNames=[outputs["Alarm"]])["MetricAlarms"][
        0
    ]
    assert alarm["MetricName"] == "Invocation4XXErrors"
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"


RAISE = """
class InputRefusedError(Exception):
    pass

def handler(event, context):
    if event["raise"] == "own":
        raise InputRefusedError("no such file:\\n  s3://bucket/key (lines)")
    if event["raise"] == "silent":
        raise InputRefusedError
    raise ValueError("odd: " + event["raise"])
"""


def test_a_state_machine_hears_the_name_of_what_a_function_raised(aws):
    definition = {
        "StartAt": "Call",
        "States": {
            "Call": {
                "Type": "Task",
                "Resource": "${Function}",
                "Catch": [{"ErrorEquals": ["InputRefusedError"], "Next": "Refused"}],
                "End": True,
            },
            "Refused": {"Type": "Pass", "End": True},
        },
    }
    template = {
        "Resources": {
            "Function": aws.function(RAISE),
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/raises",
                    "DefinitionString": json.dumps(definition),
                    "DefinitionSubstitutions": {"Function": {"Fn::GetAtt": ["Function", "Arn"]}},
                },
            },
        },
        "Outputs": {"Machine": {"Value": {"Ref": "Machine"}}},
    }
    assert aws.create_stack("raises", template) == "CREATE_COMPLETE", aws.reasons("raises")
    machine = aws.outputs("raises")["Machine"]

    def caught(what):
        execution = aws.client("stepfunctions").start_execution(
            stateMachineArn=machine, input=json.dumps({"raise": what})
        )["executionArn"]
        return ended(aws, execution)

    own = caught("own")
    assert own["status"] == "SUCCEEDED", own
    error = json.loads(own["output"])
    assert error["Error"] == "InputRefusedError"
    assert "s3://bucket/key" in json.loads(error["Cause"])["errorMessage"]
    assert caught("silent")["status"] == "SUCCEEDED"
    assert caught("else")["error"] == "ValueError"
