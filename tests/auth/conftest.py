"""One local AWS with an API for each way of telling callers apart, deployed at once by the real CDK CLI."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml

from tests.auth.issuer import AUDIENCE, Issuer
from tests.road.walk import ROOT, Road, free_port

# Pages of this machine: the local AWS keeps those of others out before any API is asked.
ORIGIN, SECOND_ORIGIN = "http://localhost:3000", "http://127.0.0.1:5173"
APP = Path(__file__).with_name("stages.py")
PARTS = ("storage", "batch", "api")
# No container starts: a model for batches alone, of which nothing is deployed but its record.
MODELS = {
    "topics": {
        "task": "text-classification",
        "source": {"artifact": "s3://theirs/model.tar.gz"},
        "endpoint": {"kind": "none"},
        "batch": {"instance_type": "ml.m5.xlarge"},
    }
}


@dataclass
class Api:
    """The API of one stage, and its road."""

    road: Road
    name: str

    def __post_init__(self) -> None:
        described = self.road.client("cloudformation").describe_stacks(
            StackName=f"{self.name}-local-api"
        )
        outputs = {o["OutputKey"]: o["OutputValue"] for o in described["Stacks"][0]["Outputs"]}
        self.outputs = outputs
        self.url = f"{self.road.endpoint_url}/restapis/{outputs['ApiId']}/local/_user_request_"

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.url + path, timeout=60, **options)


def refused(answer: requests.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document that an answer has to be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:lectern:problem:{kind}"
    assert document["status"] == status
    assert document["request_id"]
    return document


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture(scope="session")
def road() -> Iterator[Road]:
    with tempfile.TemporaryDirectory(prefix="lectern-auth-") as folder:
        road = Road(state=Path(folder), port=free_port())
        road.start()
        try:
            yield road
        finally:
            processes = road.processes() if (road.state / "server.json").exists() else []
            road.lectern("local", "stop")
            _gone, alive = psutil.wait_procs(processes, timeout=10)
            assert not alive, f"still running after stop: {alive}"


@pytest.fixture(scope="session")
def pool(road: Road) -> dict[str, str]:
    """A user pool with a client and one user, made before the stage names it."""
    cognito = road.client("cognito-idp")
    made = cognito.create_user_pool(PoolName="people")["UserPool"]
    client = cognito.create_user_pool_client(
        UserPoolId=made["Id"],
        ClientName="tests",
        ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]["ClientId"]
    cognito.admin_create_user(UserPoolId=made["Id"], Username="ada", MessageAction="SUPPRESS")
    cognito.admin_set_user_password(
        UserPoolId=made["Id"], Username="ada", Password="Right-horse-4", Permanent=True
    )
    signed_in = cognito.admin_initiate_auth(
        UserPoolId=made["Id"],
        ClientId=client,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ada", "PASSWORD": "Right-horse-4"},
    )
    token = signed_in["AuthenticationResult"]["IdToken"]
    return {"arn": made["Arn"], "token": token}


@pytest.fixture(scope="session")
def apis(road: Road, pool: dict[str, str], issuer: Issuer) -> dict[str, Api]:
    """The APIs by the name of their stage."""
    settings: dict[str, dict[str, Any]] = {
        "jwt": {
            "auth": "jwt",
            "jwt": {"issuer": issuer.url, "audience": AUDIENCE},
            "tenancy": True,
            "cors": {"origins": [ORIGIN]},
        },
        "cognito": {"auth": "cognito", "cognito": {"user_pool_arn": pool["arn"]}},
        "iam": {"auth": "iam", "cors": {"origins": [ORIGIN, SECOND_ORIGIN]}},
        "open": {"auth": "open-to-everyone", "firewall": {"requests_per_5_minutes": 40}},
    }
    stages = road.state / "stages"
    for name, api in settings.items():
        write_stage(stages / name, name, api)
    # The models' stack has nothing that is asked here.
    stacks = [f"{name}-local-{part}" for name in settings for part in PARTS]
    words = ["--exclusively", "--concurrency", "4", "--context", f"stages={stages}"]
    words += ["--app", f"{sys.executable} {APP}"]
    road.lectern("deploy", "--local", *stacks, *words, environment={"PYTHONPATH": str(ROOT)})
    for name in settings:
        write_record(road, name)
    return {name: Api(road, name) for name in settings}


def write_stage(folder: Path, name: str, api: dict[str, Any]) -> None:
    document = {
        "name": name,
        "region": "us-east-1",
        "retain_data": False,
        "models": MODELS,
        "api": {"throttle": {"rate": 500, "burst": 500}, **api},
        "logs": {"retention_days": 1},
    }
    folder.mkdir(parents=True)
    (folder / "local.yaml").write_text(yaml.safe_dump(document))


def write_record(road: Road, name: str) -> None:
    """Say of the model what its deployment would."""
    record = {"model_name": "topics", "version": "1", "task": "text-classification"}
    road.client("ssm").put_parameter(
        Name=f"/{name}/local/models/topics",
        Value=json.dumps({**record, "endpoint": None, "model_data": "s3://theirs/model.tar.gz"}),
        Type="String",
    )
