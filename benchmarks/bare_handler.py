"""What a function that serves one endpoint is at least: JSON in, boto3, JSON out."""

import json
import os

import boto3

runtime = boto3.client("sagemaker-runtime")


def handler(event: dict, context: object) -> dict:
    asked = json.loads(event["body"])
    response = runtime.invoke_endpoint(
        EndpointName=os.environ["ENDPOINT"],
        ContentType="application/json",
        Body=json.dumps(asked),
    )
    answer = json.loads(response["Body"].read())
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(answer),
    }
