"""Keys that an authorizer names, however its answers are remembered: each caller's own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

# Names the key of whoever asks, by header, query or token.
AUTHORIZER = """
def handler(event, context):
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    query = event.get("queryStringParameters") or {}
    who = headers.get("x-who") or query.get("who") or event.get("authorizationToken") or "nobody"
    api, stage, *_ = event["methodArn"].split("/")
    allow = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{api}/{stage}/*"}
    answer = {"principalId": "key", "policyDocument": {"Version": "2012-10-17", "Statement": [allow]}}
    if "x-without" not in headers:
        answer["usageIdentifierKey"] = f"the-key-of-{who}-and-of-nobody-else"
    return answer
"""
BACKEND = """
import json

def handler(event, context):
    identity = event["requestContext"]["identity"]
    return {"statusCode": 200, "body": json.dumps(identity.get("apiKeyId"))}
"""
CALLERS = ["one", "two"]
# How a caller says who it is, and how an authorizer is asked and remembered.
WAYS = {
    "header": {"Type": "REQUEST", "IdentitySource": "method.request.header.x-who", "AuthorizerResultTtlInSeconds": 300},
    "default": {"Type": "REQUEST", "IdentitySource": "method.request.header.x-who"},
    "query": {"Type": "REQUEST", "IdentitySource": "method.request.querystring.who", "AuthorizerResultTtlInSeconds": 300},
    "asked": {"Type": "REQUEST", "AuthorizerResultTtlInSeconds": 0},
    "token": {"Type": "TOKEN", "IdentitySource": "method.request.header.Authorization", "AuthorizerResultTtlInSeconds": 300},
    "tokens": {"Type": "TOKEN", "IdentitySource": "method.request.header.Authorization", "AuthorizerResultTtlInSeconds": 0},
}  # fmt: skip


def template(aws):
    def arn(function):
        return {
            "Fn::Sub": f"arn:aws:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{function}.Arn}}/invocations"
        }

    api = {"RestApiId": {"Ref": "Api"}}
    resources = {
        "Judge": aws.function(AUTHORIZER),
        "Backend": aws.function(BACKEND),
        "Api": {
            "Type": "AWS::ApiGateway::RestApi",
            "Properties": {"Name": "named", "ApiKeySourceType": "AUTHORIZER"},
        },
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "DependsOn": [f"Method{way}" for way in WAYS],
            "Properties": api,
        },
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {**api, "StageName": "live", "DeploymentId": {"Ref": "Deployment"}},
        },
        "Plan": {
            "Type": "AWS::ApiGateway::UsagePlan",
            "Properties": {"ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "Stage"}}]},
        },
    }
    for caller in CALLERS:
        resources[f"Key{caller}"] = {
            "Type": "AWS::ApiGateway::ApiKey",
            "Properties": {"Enabled": True, "Value": f"the-key-of-{caller}-and-of-nobody-else"},
        }
        resources[f"PlanKey{caller}"] = {
            "Type": "AWS::ApiGateway::UsagePlanKey",
            "Properties": {
                "KeyId": {"Ref": f"Key{caller}"},
                "KeyType": "API_KEY",
                "UsagePlanId": {"Ref": "Plan"},
            },
        }
    for way, authorizer in WAYS.items():
        resources[f"By{way}"] = {
            "Type": "AWS::ApiGateway::Authorizer",
            "Properties": {**api, "Name": way, "AuthorizerUri": arn("Judge"), **authorizer},
        }
        resources[f"Resource{way}"] = {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                **api,
                "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                "PathPart": way,
            },
        }
        resources[f"Method{way}"] = {
            "Type": "AWS::ApiGateway::Method",
            "Properties": {
                **api,
                "ResourceId": {"Ref": f"Resource{way}"},
                "HttpMethod": "GET",
                "AuthorizationType": "CUSTOM",
                "AuthorizerId": {"Ref": f"By{way}"},
                "ApiKeyRequired": True,
                "Integration": {
                    "Type": "AWS_PROXY",
                    "IntegrationHttpMethod": "POST",
                    "Uri": arn("Backend"),
                },
            },
        }
    outputs = {name: {"Value": {"Ref": name}} for name in ("Api", *(f"Key{c}" for c in CALLERS))}
    return {"Resources": resources, "Outputs": outputs}


class Named:
    def __init__(self, aws):
        self.aws = aws
        outputs = aws.outputs("named")
        self.url = f"{aws.server.endpoint_url}/restapis/{outputs['Api']}/live/_user_request_"
        self.ids = {caller: outputs[f"Key{caller}"] for caller in CALLERS}

    def ask(self, way, who, query="", **headers):
        if way == "query":
            query = f"?who={who}"
        else:
            headers["Authorization" if way.startswith("token") else "x_who"] = who
        status, _, body = self.aws.request(f"{self.url}/{way}{query}", **headers)
        return status, json.loads(body)


@pytest.fixture(scope="module")
def named(aws):
    assert aws.create_stack("named", template(aws)) == "CREATE_COMPLETE", aws.reasons("named")
    return Named(aws)


@pytest.mark.parametrize("way", WAYS)
def test_each_caller_has_its_own_key_asked_and_remembered(named, way):
    for _ in range(2):
        for caller in CALLERS:
            assert named.ask(way, caller) == (200, named.ids[caller])


@pytest.mark.parametrize("way", WAYS)
def test_whoever_has_no_key_is_refused_after_others_were_let_in(named, way):
    assert named.ask(way, "one")[0] == 200
    for _ in range(2):
        assert named.ask(way, "three")[0] == 403


@pytest.mark.parametrize("way", ["asked", "header"])
def test_a_key_in_the_callers_own_header_counts_for_nothing_beside_the_named_one(named, way):
    others = "the-key-of-two-and-of-nobody-else"
    assert named.ask(way, "one", x_api_key=others) == (200, named.ids["one"])
    assert named.ask(way, "three", x_api_key=others)[0] == 403


def test_an_answer_that_names_no_key_lets_nobody_in_as_who_asked_before(named):
    assert named.ask("asked", "one") == (200, named.ids["one"])
    assert named.ask("asked", "one", x_without="a key")[0] == 403


@pytest.mark.parametrize("way", WAYS)
def test_callers_at_the_same_time_are_not_taken_for_one_another(named, way):
    asked = CALLERS * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda caller: named.ask(way, caller), asked))
    assert answers == [(200, named.ids[caller]) for caller in asked]
