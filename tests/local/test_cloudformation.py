"""CloudFormation's providers of the SageMaker types, in the real engine over a stand-in SageMaker."""

from __future__ import annotations

import json
import time

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/anything"


def model(version="1", **environment):
    return {
        "Type": "AWS::SageMaker::Model",
        "Properties": {
            "ExecutionRoleArn": ROLE,
            "PrimaryContainer": {
                "Image": "image",
                "Environment": {"VERSION": version, **environment},
            },
        },
    }


def serving(name, version="1", **environment):
    return {
        "Resources": {
            "Model": model(version, **environment),
            "Config": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {
                    "ProductionVariants": [
                        {
                            "VariantName": "AllTraffic",
                            "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                            "InstanceType": "ml.m5.large",
                            "InitialInstanceCount": "1",
                            "InitialVariantWeight": "1.0",
                        }
                    ]
                },
            },
            "Endpoint": {
                "Type": "AWS::SageMaker::Endpoint",
                "Properties": {
                    "EndpointName": name,
                    "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                    "Tags": [{"Key": "team", "Value": version}],
                },
            },
        },
        "Outputs": {
            "Endpoint": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}},
            "Model": {"Value": {"Fn::GetAtt": ["Model", "ModelName"]}},
            "ModelArn": {"Value": {"Ref": "Model"}},
            "Config": {"Value": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
        },
    }


def served_version(aws, endpoint):
    answer = aws.client("sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body=b"hello")
    return json.loads(answer["Body"].read())["version"]


def exists(aws, kind, name):
    try:
        aws.client("sagemaker").__getattribute__(f"describe_{kind}")(
            **{"model": {"ModelName": name}, "endpoint_config": {"EndpointConfigName": name}}[kind]
        )
    except ClientError:
        return False
    return True


def test_an_endpoint_follows_a_new_model_and_the_old_ones_are_deleted(aws):
    assert aws.create_stack("follows", serving("follows")) == "CREATE_COMPLETE"
    first = aws.outputs("follows")
    assert first["ModelArn"].endswith(f"model/{first['Model']}")
    assert served_version(aws, "follows") == "1"

    assert aws.update_stack("follows", serving("follows", "2")) == "UPDATE_COMPLETE"

    second = aws.outputs("follows")
    assert served_version(aws, "follows") == "2"
    assert second["Endpoint"] == first["Endpoint"] == "follows"
    assert second["Model"] != first["Model"]
    assert second["Config"] != first["Config"]
    assert exists(aws, "model", second["Model"])
    assert not exists(aws, "model", first["Model"])
    assert not exists(aws, "endpoint_config", first["Config"])
    tags = aws.client("sagemaker").describe_endpoint(EndpointName="follows")
    assert tags["EndpointStatus"] == "InService"
    assert aws.delete_stack("follows") == "DELETE_COMPLETE"
    assert not exists(aws, "model", second["Model"])


def test_numbers_that_a_template_carries_as_text_reach_sagemaker_as_numbers(aws):
    aws.create_stack("numbers", serving("numbers"))
    config = aws.client("sagemaker").describe_endpoint_config(
        EndpointConfigName=aws.outputs("numbers")["Config"]
    )
    variant = config["ProductionVariants"][0]
    assert (variant["InitialInstanceCount"], variant["InitialVariantWeight"]) == (1, 1.0)


def test_a_failing_endpoint_fails_the_creation_with_its_reason_and_leaves_nothing(aws):
    broken = serving("never", FAIL="no model.tar.gz at s3://bucket/key")
    assert aws.create_stack("never", broken) == "ROLLBACK_COMPLETE"
    assert "no model.tar.gz at s3://bucket/key" in aws.reasons("never")["Endpoint"]
    with pytest.raises(ClientError, match="Could not find"):
        aws.client("sagemaker").describe_endpoint(EndpointName="never")


def test_a_failing_update_rolls_back_to_the_model_that_served(aws):
    aws.create_stack("rolls-back", serving("rolls-back"))
    before = aws.outputs("rolls-back")

    broken = serving("rolls-back", "2", FAIL="the container is dead")
    assert aws.update_stack("rolls-back", broken) == "UPDATE_ROLLBACK_COMPLETE"

    assert "the container is dead" in aws.reasons("rolls-back")["Endpoint"]
    assert served_version(aws, "rolls-back") == "1"
    assert aws.outputs("rolls-back") == before
    endpoint = aws.client("sagemaker").describe_endpoint(EndpointName="rolls-back")
    assert endpoint["EndpointConfigName"] == before["Config"]
    assert aws.update_stack("rolls-back", serving("rolls-back", "3")) == "UPDATE_COMPLETE"
    assert served_version(aws, "rolls-back") == "3"


SMOKE = """
import json, urllib.request
import boto3

def handler(event, context):
    properties = event["ResourceProperties"]
    stack = boto3.client("cloudformation").describe_stacks(StackName=properties["StackName"])["Stacks"][0]
    rolling_back = "ROLLBACK" in stack["StackStatus"]
    answer = boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName=properties["EndpointName"], Body=b"x")
    version = json.loads(answer["Body"].read())["version"]
    print("SMOKE", event["RequestType"], version, rolling_back)
    if properties.get("Raise") == version:
        raise RuntimeError("the function itself broke")
    bad = event["RequestType"] != "Delete" and properties["Refuse"] == version and not rolling_back
    document = {
        "Status": "FAILED" if bad else "SUCCESS",
        "Reason": f"version {version} gives no answer",
        "PhysicalResourceId": "smoke",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {},
    }
    request = urllib.request.Request(event["ResponseURL"], json.dumps(document).encode(), method="PUT")
    urllib.request.urlopen(request)
"""


def proven(aws, name, version, **smoke):
    template = serving(name, version)
    template["Resources"]["Function"] = aws.function(SMOKE, Timeout=30)
    template["Resources"]["Smoke"] = {
        "Type": "Custom::SmokeTest",
        "Properties": {
            "ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]},
            "StackName": {"Ref": "AWS::StackName"},
            "EndpointName": {"Fn::GetAtt": ["Endpoint", "EndpointName"]},
            "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
            **smoke,
        },
    }
    template["Resources"]["Record"] = {
        "Type": "AWS::SSM::Parameter",
        "DependsOn": "Smoke",
        "Properties": {"Type": "String", "Name": f"/{name}/model", "Value": version},
    }
    return template


def test_a_smoke_test_that_refuses_the_new_model_brings_the_old_one_back(aws):
    assert aws.create_stack("proven", proven(aws, "proven", "1", Refuse="2")) == "CREATE_COMPLETE"

    status = aws.update_stack("proven", proven(aws, "proven", "2", Refuse="2"))

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert "version 2 gives no answer" in aws.reasons("proven")["Smoke"]
    assert served_version(aws, "proven") == "1"
    record = aws.client("ssm").get_parameter(Name="/proven/model")["Parameter"]
    assert record["Value"] == "1"
    function = next(
        resource["PhysicalResourceId"]
        for resource in aws.client("cloudformation").describe_stack_resources(StackName="proven")[
            "StackResources"
        ]
        if resource["LogicalResourceId"] == "Function"
    )
    events = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
    lines = [line.strip() for event in events for line in event["message"].splitlines()]
    assert [line for line in lines if line.startswith("SMOKE")] == [
        "SMOKE Create 1 False",
        "SMOKE Update 2 False",
        "SMOKE Update 1 True",
    ]


def test_a_smoke_test_whose_function_raises_fails_the_stack_at_once(aws):
    template = proven(aws, "raises", "1", Refuse="-", Raise="1")
    assert aws.create_stack("raises", template) == "ROLLBACK_COMPLETE"
    assert "the function itself broke" in aws.reasons("raises")["Smoke"]


def test_a_property_that_cloudformation_does_not_know_is_refused(aws):
    template = serving("unknown")
    variant = template["Resources"]["Config"]["Properties"]["ProductionVariants"][0]
    variant["InstanceCount"] = 1
    assert aws.create_stack("unknown", template) == "ROLLBACK_COMPLETE"
    reason = aws.reasons("unknown")["Config"]
    assert "/ProductionVariants/0: extraneous key [InstanceCount] is not permitted" in reason


def test_a_missing_required_property_is_refused(aws):
    template = {
        "Resources": {
            "Pipeline": {
                "Type": "AWS::SageMaker::Pipeline",
                "Properties": {"PipelineName": "p", "RoleArn": ROLE},
            }
        }
    }
    assert aws.create_stack("required", template) == "ROLLBACK_COMPLETE"
    assert "required key [PipelineDefinition] not found" in aws.reasons("required")["Pipeline"]


def test_a_pipeline_definition_changes_in_place_and_goes_with_its_stack(aws):
    def template(step):
        definition = json.dumps({"Version": "2020-12-01", "Steps": [{"Name": step}]})
        return {
            "Resources": {
                "Group": {
                    "Type": "AWS::SageMaker::ModelPackageGroup",
                    "Properties": {"ModelPackageGroupName": "reviews"},
                },
                "Pipeline": {
                    "Type": "AWS::SageMaker::Pipeline",
                    "Properties": {
                        "PipelineName": "reviews",
                        "RoleArn": ROLE,
                        "PipelineDefinition": {"PipelineDefinitionBody": definition},
                    },
                },
            },
            "Outputs": {
                "Pipeline": {"Value": {"Ref": "Pipeline"}},
                "Group": {"Value": {"Ref": "Group"}},
            },
        }

    assert aws.create_stack("pipeline", template("Train")) == "CREATE_COMPLETE"
    outputs = aws.outputs("pipeline")
    assert outputs["Pipeline"] == "reviews"
    assert outputs["Group"].endswith("modelpackagegroup/reviews")

    assert aws.update_stack("pipeline", template("Evaluate")) == "UPDATE_COMPLETE"

    pipeline = aws.client("sagemaker").describe_pipeline(PipelineName="reviews")
    assert json.loads(pipeline["PipelineDefinition"])["Steps"] == [{"Name": "Evaluate"}]
    assert aws.outputs("pipeline") == outputs
    assert aws.delete_stack("pipeline") == "DELETE_COMPLETE", aws.reasons("pipeline")


def test_stack_tags_and_their_changes_reach_the_resources(aws):
    def tags(kind, name):
        described = aws.client("sagemaker").list_tags(
            ResourceArn=f"arn:aws:sagemaker:us-east-1:123456789012:{kind}/{name}"
        )
        return {tag["Key"]: tag["Value"] for tag in described["Tags"]}

    template = serving("tagged")
    aws.create_stack("tagged", template, Tags=[{"Key": "stage", "Value": "local"}])
    model_name = aws.outputs("tagged")["Model"]
    assert tags("model", model_name)["stage"] == "local"
    assert tags("model", model_name)["aws:cloudformation:stack-name"] == "tagged"
    assert tags("endpoint", "tagged") == {"team": "1", "stage": "local"}

    aws.update_stack("tagged", template, Tags=[{"Key": "stage", "Value": "dev"}])

    assert aws.outputs("tagged")["Model"] == model_name
    assert tags("endpoint", "tagged") == {"team": "1", "stage": "dev"}


def released(name):
    """A model that exists once a version is given, as the release road builds it."""
    template = serving(name, {"Ref": "Version"})
    template["Parameters"] = {
        "Version": {"Type": "String", "Default": "none"},
        "ModelData": {"Type": "String", "Default": "none"},
        "Other": {"Type": "String", "Default": "default"},
    }
    template["Conditions"] = {
        "Approved": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Version"}, "none"]}]}
    }
    for resource in template["Resources"].values():
        resource["Condition"] = "Approved"
    template["Resources"]["Record"] = {
        "Type": "AWS::SSM::Parameter",
        "Condition": "Approved",
        "Properties": {
            "Type": "String",
            "Name": f"/{name}/record",
            "Value": {
                "Fn::Join": [
                    "",
                    [
                        '{"version": "',
                        {"Ref": "Version"},
                        '", "bucket": "',
                        {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "ModelData"}]}]},
                        '"}',
                    ],
                ]
            },
        },
    }
    template["Resources"]["Always"] = {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Type": "String", "Value": {"Ref": "Other"}},
    }
    template["Outputs"] = {
        "Endpoint": {
            "Condition": "Approved",
            "Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]},
        },
        "Always": {"Value": {"Ref": "Always"}},
    }
    return template


def test_a_version_given_by_parameter_is_kept_by_the_next_deployment(aws):
    cloudformation = aws.client("cloudformation")
    aws.create_stack(
        "released",
        released("released"),
        Parameters=[{"ParameterKey": "Other", "ParameterValue": "given"}],
    )
    assert "Endpoint" not in aws.outputs("released")

    def release(version):
        cloudformation.update_stack(
            StackName="released",
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": "Version", "ParameterValue": version},
                {"ParameterKey": "ModelData", "ParameterValue": f"s3://bucket/models/{version}"},
                {"ParameterKey": "Other", "UsePreviousValue": True},
            ],
        )
        return aws.settled("released")

    assert release("7") == "UPDATE_COMPLETE"
    assert served_version(aws, "released") == "7"
    record = aws.client("ssm").get_parameter(Name="/released/record")["Parameter"]["Value"]
    assert json.loads(record) == {"version": "7", "bucket": "bucket"}
    assert (
        aws.client("ssm").get_parameter(Name=aws.outputs("released")["Always"])["Parameter"][
            "Value"
        ]
        == "given"
    )
    with pytest.raises(ClientError, match="No updates are to be performed"):
        release("7")

    previous = [
        {"ParameterKey": key, "UsePreviousValue": True} for key in ("Version", "ModelData", "Other")
    ]
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cloudformation.update_stack(
            StackName="released", TemplateBody=json.dumps(released("released")), Parameters=previous
        )
    changed = change_set(cloudformation, "released", released("released"), previous)
    assert changed["Status"] == "FAILED"
    assert (
        "didn't contain changes" in changed["StatusReason"]
        or "No updates" in changed["StatusReason"]
    )

    wider = released("released")
    wider["Resources"]["More"] = {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Type": "String", "Value": "x"},
    }
    changed = change_set(cloudformation, "released", wider, previous)
    assert [change["ResourceChange"]["LogicalResourceId"] for change in changed["Changes"]] == [
        "More"
    ]
    cloudformation.execute_change_set(ChangeSetName=changed["ChangeSetId"])
    assert aws.settled("released") == "UPDATE_COMPLETE"
    assert served_version(aws, "released") == "7"

    assert release("8") == "UPDATE_COMPLETE"
    assert served_version(aws, "released") == "8"
    assert release("none") == "UPDATE_COMPLETE"
    assert "Endpoint" not in aws.outputs("released")
    with pytest.raises(ClientError, match="ParameterNotFound"):
        aws.client("ssm").get_parameter(Name="/released/record")


def change_set(cloudformation, stack, template, parameters):
    created = cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=f"next-{time.monotonic_ns()}",
        ChangeSetType="UPDATE",
        TemplateBody=json.dumps(template),
        Parameters=parameters,
        Capabilities=["CAPABILITY_IAM"],
    )
    while True:
        described = cloudformation.describe_change_set(ChangeSetName=created["Id"])
        if not described["Status"].endswith(("PENDING", "IN_PROGRESS")):
            return described


def test_a_change_set_says_what_is_replaced_and_what_is_updated(aws):
    aws.create_stack("foreseen", serving("foreseen"))
    described = change_set(aws.client("cloudformation"), "foreseen", serving("foreseen", "2"), [])
    replacement = {
        change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"]["Replacement"]
        for change in described["Changes"]
    }
    assert replacement == {"Model": "True", "Config": "True", "Endpoint": "False"}
