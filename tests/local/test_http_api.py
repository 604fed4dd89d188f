"""SageMaker over HTTP: what boto3 makes of answers and errors, and what a plain client sees."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError


@pytest.fixture(scope="module")
def endpoint(aws):
    sagemaker = aws.client("sagemaker")
    container = {"Image": "image", "Environment": {"VERSION": "1"}}
    sagemaker.create_model(ModelName="http", ExecutionRoleArn=aws.role, PrimaryContainer=container)
    sagemaker.create_endpoint_config(
        EndpointConfigName="http",
        ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": "http"}],
    )
    sagemaker.create_endpoint(EndpointName="http", EndpointConfigName="http")
    return "http"


def test_the_body_and_its_content_type_come_back_as_the_container_gave_them(aws, endpoint):
    answer = aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, Body=b'{"inputs": "x"}', ContentType="application/json"
    )
    assert answer["ContentType"] == "application/json"
    assert json.loads(answer["Body"].read()) == {"heard": '{"inputs": "x"}', "version": "1"}


def test_a_containers_error_is_a_model_error_with_its_status_and_words(aws, endpoint):
    runtime = aws.client("sagemaker-runtime")
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName=endpoint, Body=b"boom")
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 400
    assert answer["OriginalMessage"] == "the container said no"
    assert "Received client error (400)" in answer["Error"]["Message"]


def test_an_unknown_endpoint_is_a_validation_error(aws):
    with pytest.raises(ClientError, match="not found") as caught:
        aws.client("sagemaker-runtime").invoke_endpoint(EndpointName="nobody", Body=b"x")
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_a_time_is_a_time_again_in_the_client(aws, endpoint):
    model = aws.client("sagemaker").describe_model(ModelName="http")
    assert model["CreationTime"].year >= 2026


def test_a_refusal_carries_its_code_and_message(aws):
    with pytest.raises(ClientError) as caught:
        aws.client("sagemaker").describe_model(ModelName="nobody")
    assert caught.value.response["Error"] == {
        "Code": "ResourceNotFound",
        "Message": "Could not find Model nobody",
    }


@pytest.mark.parametrize("sent", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(aws, sent):
    status, headers, body = aws.request(
        aws.server.endpoint_url, sent, "POST", X_Amz_Target="SageMaker.DescribeModel"
    )
    assert (status, headers["x-amzn-errortype"]) == (400, "SerializationException")
    assert json.loads(body)["__type"] == "SerializationException"


def test_a_member_that_is_null_is_not_given(aws, endpoint):
    sent = {"ModelName": "http", "Tags": None}
    status, _, body = aws.request(
        aws.server.endpoint_url,
        json.dumps(sent).encode(),
        "POST",
        X_Amz_Target="SageMaker.DescribeModel",
    )
    assert (status, json.loads(body)["ModelName"]) == (200, "http")
