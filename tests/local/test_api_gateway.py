"""An API deployed by CloudFormation: keys, validation, gateway responses, the proxy event."""

from __future__ import annotations

import json

import pytest

ECHO = """
import json

def handler(event, context):
    wanted = ("path", "resource", "pathParameters", "httpMethod", "body", "isBase64Encoded", "multiValueQueryStringParameters")
    answer = {name: event[name] for name in wanted}
    answer["stage"] = event["requestContext"]["stage"]
    answer["custom"] = event["multiValueHeaders"].get("X-Custom") or event["multiValueHeaders"].get("x-custom")
    return {"statusCode": 201, "multiValueHeaders": {"Content-Type": ["application/json"], "X-Two": ["a", "b"]}, "body": json.dumps(answer)}
"""

PROBLEM = '{"type": "about:blank", "status": %d, "title": $context.error.messageString}'


def api_template(aws):
    def method(resource, verb, **properties):
        return {
            "Type": "AWS::ApiGateway::Method",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "ResourceId": resource,
                "HttpMethod": verb,
                "AuthorizationType": "NONE",
                "Integration": {
                    "Type": "AWS_PROXY",
                    "IntegrationHttpMethod": "POST",
                    "Uri": {
                        "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Function.Arn}/invocations"
                    },
                },
                **properties,
            },
        }

    def resource(parent, part):
        return {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {"RestApiId": {"Ref": "Api"}, "ParentId": parent, "PathPart": part},
        }

    def problem(kind, status):
        return {
            "Type": "AWS::ApiGateway::GatewayResponse",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "ResponseType": kind,
                "StatusCode": str(status),
                "ResponseTemplates": {"application/json": PROBLEM % status},
                "ResponseParameters": {
                    "gatewayresponse.header.Content-Type": "'application/problem+json'"
                },
            },
        }

    root = {"Fn::GetAtt": ["Api", "RootResourceId"]}
    resources = {
        "Function": aws.function(ECHO, Environment={"Variables": {"A": "b"}}, Timeout=20),
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Fn::GetAtt": ["Function", "Arn"]},
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": {
                    "Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/*/*"
                },
            },
        },
        "Api": {
            "Type": "AWS::ApiGateway::RestApi",
            "Properties": {
                "Name": "echo",
                "EndpointConfiguration": {"Types": ["REGIONAL"]},
                "MinimumCompressionSize": 1024,
            },
        },
        "Models": resource(root, "models"),
        "OneModel": resource({"Ref": "Models"}, "{model}"),
        "Health": resource(root, "health"),
        "Body": {
            "Type": "AWS::ApiGateway::Model",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "ContentType": "application/json",
                "Schema": {
                    "$schema": "http://json-schema.org/draft-04/schema#",
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"inputs": {"type": ["string", "array"]}},
                },
            },
        },
        "Validator": {
            "Type": "AWS::ApiGateway::RequestValidator",
            "Properties": {"RestApiId": {"Ref": "Api"}, "ValidateRequestBody": True},
        },
        "Predict": method(
            {"Ref": "OneModel"},
            "POST",
            ApiKeyRequired=True,
            RequestValidatorId={"Ref": "Validator"},
            RequestModels={"application/json": {"Ref": "Body"}},
        ),
        "GetHealth": method({"Ref": "Health"}, "GET"),
        "BadKey": problem("INVALID_API_KEY", 403),
        "BadBody": problem("BAD_REQUEST_BODY", 400),
        "NoToken": problem("MISSING_AUTHENTICATION_TOKEN", 404),
        "Default4": problem("DEFAULT_4XX", 418),
        "Default5": problem("DEFAULT_5XX", 500),
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "DependsOn": ["Predict", "GetHealth", "BadKey", "BadBody", "NoToken", "Default4"],
            "Properties": {"RestApiId": {"Ref": "Api"}},
        },
        "AccessLog": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "DeploymentId": {"Ref": "Deployment"},
                "StageName": "live",
                "TracingEnabled": True,
                "AccessLogSetting": {
                    "DestinationArn": {"Fn::GetAtt": ["AccessLog", "Arn"]},
                    "Format": '{"requestId":"$context.requestId","verb":"$context.httpMethod","path":"$context.resourcePath","status":"$context.status"}',
                },
                "MethodSettings": [
                    {
                        "ResourcePath": "/*",
                        "HttpMethod": "*",
                        "LoggingLevel": "INFO",
                        "DataTraceEnabled": False,
                        "ThrottlingRateLimit": 50,
                        "ThrottlingBurstLimit": 100,
                    }
                ],
            },
        },
        "Key": {
            "Type": "AWS::ApiGateway::ApiKey",
            "DependsOn": "Stage",
            "Properties": {"Enabled": True},
        },
        "Plan": {
            "Type": "AWS::ApiGateway::UsagePlan",
            "Properties": {
                "ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "Stage"}}],
                "Throttle": {"RateLimit": 50, "BurstLimit": 100},
            },
        },
        "PlanKey": {
            "Type": "AWS::ApiGateway::UsagePlanKey",
            "Properties": {
                "KeyId": {"Ref": "Key"},
                "KeyType": "API_KEY",
                "UsagePlanId": {"Ref": "Plan"},
            },
        },
        "StrangerKey": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": True}},
    }
    return {
        "Resources": resources,
        "Outputs": {
            "Api": {"Value": {"Ref": "Api"}},
            "Key": {"Value": {"Ref": "Key"}},
            "StrangerKey": {"Value": {"Ref": "StrangerKey"}},
            "AccessLog": {"Value": {"Ref": "AccessLog"}},
        },
    }


class Api:
    def __init__(self, aws):
        outputs = aws.outputs("api")
        gateway = aws.client("apigateway")
        self.aws = aws
        self.outputs = outputs
        self.url = f"{aws.server.endpoint_url}/restapis/{outputs['Api']}/live/_user_request_"
        self.key = gateway.get_api_key(apiKey=outputs["Key"], includeValue=True)["value"]
        stranger = gateway.get_api_key(apiKey=outputs["StrangerKey"], includeValue=True)
        self.stranger_key = stranger["value"]

    def predict(self, body=b'{"inputs": "x"}', **headers):
        headers = {"Content_Type": "application/json", **headers}
        return self.aws.request(f"{self.url}/models/topics?a=1&a=2", body, "POST", **headers)


@pytest.fixture(scope="module")
def api(aws):
    assert aws.create_stack("api", api_template(aws)) == "CREATE_COMPLETE", aws.reasons("api")
    return Api(aws)


def test_the_function_receives_the_request_as_the_proxy_event(api):
    status, headers, body = api.predict(x_api_key=api.key, X_Custom="one")
    assert status == 201
    assert json.loads(body) == {
        "path": "/models/topics",
        "resource": "/models/{model}",
        "pathParameters": {"model": "topics"},
        "httpMethod": "POST",
        "body": '{"inputs": "x"}',
        "isBase64Encoded": False,
        "multiValueQueryStringParameters": {"a": ["1", "2"]},
        "stage": "live",
        "custom": ["one"],
    }
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("key", ["none", "unknown", "stranger"])
def test_a_request_without_a_key_of_the_plan_is_forbidden(api, key):
    headers = {
        "none": {},
        "unknown": {"x_api_key": "nobody"},
        "stranger": {"x_api_key": api.stranger_key},
    }[key]
    status, headers, body = api.predict(**headers)
    assert status == 403
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body) == {"type": "about:blank", "status": 403, "title": "Forbidden"}


@pytest.mark.parametrize("body", [b"not json", b'{"outputs": 1}', b'{"inputs": 1}'])
def test_a_body_that_the_model_refuses_never_reaches_the_function(api, body):
    status, headers, answer = api.predict(body, x_api_key=api.key)
    assert status == 400
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer)["title"] == "Invalid request body"


def test_a_body_of_a_type_without_a_model_reaches_the_function_unjudged(api):
    status, _, body = api.predict(b"not json", x_api_key=api.key, Content_Type="text/plain")
    assert status == 201
    assert json.loads(body)["body"] == "not json"


def test_a_route_without_key_needs_none(api):
    assert api.aws.request(f"{api.url}/health")[0] == 201


def test_an_unknown_path_answers_with_its_gateway_response(api):
    status, headers, body = api.aws.request(f"{api.url}/nowhere")
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert json.loads(body)["title"] == "Missing Authentication Token"


def test_a_changed_validator_and_model_take_effect_after_an_update(aws, api):
    template = api_template(aws)
    template["Resources"]["Validator"]["Properties"]["ValidateRequestBody"] = False
    assert aws.update_stack("api", template) == "UPDATE_COMPLETE"
    assert api.predict(b"not json", x_api_key=api.key)[0] == 201
    assert aws.update_stack("api", api_template(aws)) == "UPDATE_COMPLETE"
    assert api.predict(b"not json", x_api_key=api.key)[0] == 400


def test_the_stage_writes_its_access_log(aws, api):
    stage = aws.client("apigateway").get_stage(restApiId=api.outputs["Api"], stageName="live")
    assert stage["accessLogSettings"]["destinationArn"].endswith(
        f":log-group:{api.outputs['AccessLog']}:*"
    )
    api.predict()
    group = api.outputs["AccessLog"]
    events = aws.client("logs").filter_log_events(logGroupName=group)["events"]
    last = json.loads(events[-1]["message"])
    assert last.pop("requestId")
    assert last == {"verb": "POST", "path": "/models/{model}", "status": "403"}
