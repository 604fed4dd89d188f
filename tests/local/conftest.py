from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local import lifecycle


def some_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Aws:
    """A running local AWS, and what tests keep asking of it."""

    role = "arn:aws:iam::123456789012:role/anything"

    def __init__(self, server, state_dir):
        self.server = server
        self.state_dir = state_dir

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.server.endpoint_url,
            aws_access_key_id=self.server.account,
            aws_secret_access_key="local",
            region_name=self.server.region,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def create_stack(self, name, template, **arguments):
        self.client("cloudformation").create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM"],
            **arguments,
        )
        return self.settled(name)

    def update_stack(self, name, template, **arguments):
        self.client("cloudformation").update_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM"],
            **arguments,
        )
        return self.settled(name)

    def delete_stack(self, name):
        self.client("cloudformation").delete_stack(StackName=name)
        try:
            return self.settled(name)
        except ClientError as error:
            assert "does not exist" in str(error)  # noqa: PT017
            return "DELETE_COMPLETE"

    def settled(self, name, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            stack = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                return stack["StackStatus"]
            time.sleep(0.05)
        raise TimeoutError(f"{name} is still {stack['StackStatus']}")

    def outputs(self, name):
        stack = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def reasons(self, name):
        events = self.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
        return {
            event["LogicalResourceId"]: event["ResourceStatusReason"]
            for event in reversed(events)
            if event["ResourceStatus"].endswith("FAILED")
        }

    def function(self, source, **properties):
        """A template's Lambda function with this source."""
        return {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.12",
                "Handler": "index.handler",
                "Role": self.role,
                "Code": {"ZipFile": source},
                **properties,
            },
        }

    def request(self, url, body=None, method=None, **headers):
        request = urllib.request.Request(
            url,
            data=body,
            method=method,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()


def start_stand_in(state_dir, port):
    process = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("stand_in.py")),
            "--state-dir",
            str(state_dir),
            "--port",
            str(port),
        ],
        cwd=lifecycle.CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(lifecycle.CHECKOUT)},
        stdout=(state_dir / "server.log").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        status = lifecycle.status(state_dir)
        if status.server is not None and status.server.pid == process.pid:
            return Aws(status.server, state_dir)
        time.sleep(0.05)
    raise RuntimeError((state_dir / "server.log").read_text())


@pytest.fixture(scope="session")
def aws(tmp_path_factory):
    """One server with a stand-in SageMaker for all tests that leave it running."""
    state_dir = tmp_path_factory.mktemp("local-aws")
    yield start_stand_in(state_dir, some_free_port())
    lifecycle.stop(state_dir)


@pytest.fixture
def stand_in():
    """Starts a server with a stand-in SageMaker on a state directory and a port."""
    return start_stand_in


@pytest.fixture
def free_port():
    return some_free_port()
