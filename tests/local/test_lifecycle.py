"""Starting, stopping, killing and starting again: nothing is left running, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from local import lifecycle, watchdog
from local.snapshots import LONGEST_INTERVAL_SECONDS

# After which what happened is on the disk.
SAVED_SECONDS = LONGEST_INTERVAL_SECONDS + 2

KEEP = """
import time

def handler(event, context):
    if event.get("sleep"):
        print("SLEEPS", flush=True)
        time.sleep(600)
    return {"statusCode": 200, "body": event.get("body") or "answered"}
"""


def tree(pid):
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def everything_of(state_dir):
    """What bears the server's mark or names its state directory, wherever it hangs in the tree."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(watchdog.MARKER) == str(state_dir)
            if marked or str(state_dir) in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
    return found


def gone(state_dir, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not everything_of(state_dir):
            return True
        time.sleep(0.1)
    return False


def deployed(aws):
    """A little of everything that a deployment leaves behind."""
    role = aws.role
    proxy = (
        "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${Function.Arn}/invocations"
    )
    return {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Function": aws.function(KEEP, Timeout=900),
            "Parameter": {
                "Type": "AWS::SSM::Parameter",
                "Properties": {"Type": "String", "Name": "/kept", "Value": "1"},
            },
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "EventPattern": {"source": ["aws.sagemaker"]},
                    "Targets": [{"Id": "Queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}],
                },
            },
            "Group": {"Type": "AWS::Logs::LogGroup"},
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": role,
                    "DefinitionString": json.dumps(
                        {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
                    ),
                },
            },
            "ModelGroup": {
                "Type": "AWS::SageMaker::ModelPackageGroup",
                "Properties": {"ModelPackageGroupName": "kept"},
            },
            "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "kept"}},
            "Method": {
                "Type": "AWS::ApiGateway::Method",
                "Properties": {
                    "RestApiId": {"Ref": "Api"},
                    "ResourceId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                    "HttpMethod": "POST",
                    "AuthorizationType": "NONE",
                    "ApiKeyRequired": True,
                    "Integration": {
                        "Type": "AWS_PROXY",
                        "IntegrationHttpMethod": "POST",
                        "Uri": {"Fn::Sub": proxy},
                    },
                },
            },
            "Deployment": {
                "Type": "AWS::ApiGateway::Deployment",
                "DependsOn": "Method",
                "Properties": {"RestApiId": {"Ref": "Api"}},
            },
            "Stage": {
                "Type": "AWS::ApiGateway::Stage",
                "Properties": {
                    "RestApiId": {"Ref": "Api"},
                    "DeploymentId": {"Ref": "Deployment"},
                    "StageName": "live",
                },
            },
            "Key": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": True}},
            "Plan": {
                "Type": "AWS::ApiGateway::UsagePlan",
                "Properties": {"ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "Stage"}}]},
            },
            "PlanKey": {
                "Type": "AWS::ApiGateway::UsagePlanKey",
                "Properties": {
                    "KeyId": {"Ref": "Key"},
                    "KeyType": "API_KEY",
                    "UsagePlanId": {"Ref": "Plan"},
                },
            },
        },
        "Outputs": {
            name: {"Value": {"Ref": name}}
            for name in ("Bucket", "Function", "Queue", "Rule", "Group", "Machine", "Api", "Key")
        },
    }


def assert_all_is_there(aws, outputs):
    assert aws.outputs("kept") == outputs
    s3 = aws.client("s3")
    assert s3.get_object(Bucket=outputs["Bucket"], Key="deep/object")["Body"].read() == b"bytes"
    assert (
        s3.head_object(Bucket=outputs["Bucket"], Key="deep/object")["ContentType"] == "text/x-kept"
    )
    assert aws.client("ssm").get_parameter(Name="/kept")["Parameter"]["Value"] == "1"
    key = aws.client("apigateway").get_api_key(apiKey=outputs["Key"], includeValue=True)["value"]
    url = f"{aws.server.endpoint_url}/restapis/{outputs['Api']}/live/_user_request_/"
    assert aws.request(url, b"hello", "POST", x_api_key=key)[::2] == (200, b"hello")
    assert aws.request(url, b"hello", "POST")[0] == 403
    targets = aws.client("events").list_targets_by_rule(Rule=outputs["Rule"])["Targets"]
    assert [target["Id"] for target in targets] == ["Queue"]
    aws.client("sqs").send_message(QueueUrl=outputs["Queue"], MessageBody="x")
    execution = aws.client("stepfunctions").start_execution(stateMachineArn=outputs["Machine"])
    assert execution["executionArn"]
    group = aws.client("logs").describe_log_groups(logGroupNamePrefix=outputs["Group"])
    assert group["logGroups"]
    described = aws.client("sagemaker").describe_model_package_group(ModelPackageGroupName="kept")
    assert described["ModelPackageGroupStatus"] == "Completed"


@pytest.fixture
def kept(tmp_path, stand_in, free_port):
    """A server of its own with a deployment in it; the test may do to it what it likes."""
    aws = stand_in(tmp_path, free_port)
    assert aws.create_stack("kept", deployed(aws)) == "CREATE_COMPLETE", aws.reasons("kept")
    outputs = aws.outputs("kept")
    aws.client("s3").put_object(
        Bucket=outputs["Bucket"], Key="deep/object", Body=b"bytes", ContentType="text/x-kept"
    )
    yield aws, outputs
    lifecycle.stop(tmp_path)


def test_a_killed_server_leaves_nothing_running_and_comes_back_with_everything(
    kept, stand_in, free_port
):
    aws, outputs = kept
    assert_all_is_there(aws, outputs)
    aws.client("lambda").invoke(
        FunctionName=outputs["Function"], InvocationType="Event", Payload=b'{"sleep": true}'
    )
    time.sleep(SAVED_SECONDS)
    running = everything_of(aws.state_dir)
    assert len(running) >= 3, "the server, its watchdog and a busy function"

    os.kill(aws.server.pid, signal.SIGKILL)

    assert gone(aws.state_dir, seconds=5), [p.cmdline() for p in everything_of(aws.state_dir)]
    assert lifecycle.status(aws.state_dir).running is False
    again = stand_in(aws.state_dir, free_port)
    assert again.server.pid != aws.server.pid
    assert_all_is_there(again, outputs)
    template = deployed(aws)
    template["Resources"]["Parameter"]["Properties"]["Value"] = "2"
    assert again.update_stack("kept", template) == "UPDATE_COMPLETE"
    assert again.delete_stack("kept") in ("DELETE_COMPLETE", "DELETE_FAILED")


def test_a_stopped_server_leaves_nothing_running_and_comes_back_with_everything(
    kept, stand_in, free_port
):
    aws, outputs = kept
    assert_all_is_there(aws, outputs)
    assert lifecycle.stop(aws.state_dir) is True
    assert everything_of(aws.state_dir) == []
    assert lifecycle.stop(aws.state_dir) is False
    assert_all_is_there(stand_in(aws.state_dir, free_port), outputs)


def test_a_stack_that_was_being_updated_when_the_server_died_can_be_updated_again(
    tmp_path, stand_in, free_port
):
    aws = stand_in(tmp_path, free_port)
    slow = "import time\ndef handler(event, context):\n    time.sleep(600)\n"

    def template(value):
        return {
            "Resources": {
                "Function": aws.function(slow, Timeout=900),
                "First": {
                    "Type": "AWS::SSM::Parameter",
                    "Properties": {"Type": "String", "Name": "/first", "Value": value},
                },
                **(
                    {
                        "Slow": {
                            "Type": "Custom::Slow",
                            "DependsOn": "First",
                            "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}},
                        }
                    }
                    if value == "slow"
                    else {}
                ),
            }
        }

    try:
        assert aws.create_stack("cut", template("1")) == "CREATE_COMPLETE"
        aws.client("cloudformation").update_stack(
            StackName="cut", TemplateBody=json.dumps(template("slow"))
        )
        time.sleep(SAVED_SECONDS)
        os.kill(aws.server.pid, signal.SIGKILL)
        assert gone(tmp_path, seconds=5)
        again = stand_in(tmp_path, free_port)
        stack = again.client("cloudformation").describe_stacks(StackName="cut")["Stacks"][0]
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert "was stopped while" in stack["StackStatusReason"]
        assert again.update_stack("cut", template("3")) == "UPDATE_COMPLETE"
        assert again.client("ssm").get_parameter(Name="/first")["Parameter"]["Value"] == "3"
    finally:
        lifecycle.stop(tmp_path)


def test_an_endpoint_that_was_being_created_when_the_server_died_is_not_in_the_way(
    tmp_path, stand_in, free_port
):
    aws = stand_in(tmp_path, free_port)

    def template(**environment):
        container = {"Image": "image", "Environment": environment}
        variant = {"VariantName": "AllTraffic", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}}
        return {
            "Resources": {
                "Model": {
                    "Type": "AWS::SageMaker::Model",
                    "Properties": {"ExecutionRoleArn": aws.role, "PrimaryContainer": container},
                },
                "Config": {
                    "Type": "AWS::SageMaker::EndpointConfig",
                    "Properties": {"ProductionVariants": [variant]},
                },
                "Endpoint": {
                    "Type": "AWS::SageMaker::Endpoint",
                    "Properties": {
                        "EndpointName": "cut",
                        "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                    },
                },
            }
        }

    try:
        aws.client("cloudformation").create_stack(
            StackName="cut", TemplateBody=json.dumps(template(SLOW="1"))
        )
        time.sleep(SAVED_SECONDS)
        os.kill(aws.server.pid, signal.SIGKILL)
        assert gone(tmp_path, seconds=5)
        again = stand_in(tmp_path, free_port)
        assert again.settled("cut") == "ROLLBACK_FAILED"
        assert again.delete_stack("cut") == "DELETE_COMPLETE"
        assert again.create_stack("cut", template(VERSION="1")) == "CREATE_COMPLETE"
    finally:
        lifecycle.stop(tmp_path)


def test_it_listens_on_loopback_only(aws):
    addresses = {
        connection.laddr.ip
        for process in tree(aws.server.pid)
        for connection in process.net_connections(kind="all")
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
        if connection.family in (socket.AF_INET, socket.AF_INET6)
    }
    assert addresses == {"127.0.0.1"}


def test_it_holds_no_connection_to_another_machine(aws):
    aws.client("s3").list_buckets()
    remote = {
        connection.raddr.ip
        for process in tree(aws.server.pid)
        for connection in process.net_connections(kind="inet")
        if connection.raddr
    }
    assert remote <= {"127.0.0.1"}


def test_starting_twice_finds_the_running_server(tmp_path, free_port):
    try:
        first = lifecycle.start(tmp_path, port=free_port)
        assert lifecycle.start(tmp_path) == first
        assert lifecycle.start(tmp_path, port=free_port) == first
        assert json.loads((tmp_path / "server.json").read_text()) == {
            "pid": first.pid,
            "port": free_port,
            "endpoint_url": f"http://127.0.0.1:{free_port}",
            "region": "us-east-1",
            "account": "123456789012",
        }
        with pytest.raises(lifecycle.LocalAwsError, match=rf"already runs on {free_port}, got 1\b"):
            lifecycle.start(tmp_path, port=1)
        taken = subprocess.run(
            [sys.executable, "-m", "local", "--state-dir", tmp_path, "--port", "1"],
            cwd=lifecycle.CHECKOUT,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert taken.returncode == 1
        assert f"another local AWS works in {tmp_path}" in taken.stderr
    finally:
        assert lifecycle.stop(tmp_path) is True
    assert not (tmp_path / "server.json").exists()
    assert lifecycle.status(tmp_path).running is False


def test_starting_twice_at_once_starts_one_server(tmp_path, free_port):
    words = [
        sys.executable,
        "-c",
        "import pathlib, sys; from local import lifecycle;"
        "print(lifecycle.start(pathlib.Path(sys.argv[1]), int(sys.argv[2])).pid)",
        str(tmp_path),
        str(free_port),
    ]
    try:
        starting = [
            subprocess.Popen(words, cwd=lifecycle.CHECKOUT, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        pids = [process.communicate(timeout=60)[0].strip() for process in starting]
        assert [process.returncode for process in starting] == [0, 0]
        assert pids[0] == pids[1] != ""
    finally:
        lifecycle.stop(tmp_path)


def test_a_start_that_fails_tells_its_own_words_only(tmp_path, free_port, monkeypatch):
    (tmp_path / "server.log").write_text("words of another day\n")
    monkeypatch.setattr(lifecycle.sys, "executable", "/bin/false")
    with pytest.raises(lifecycle.LocalAwsError, match="exit code 1 before it was ready") as failed:
        lifecycle.start(tmp_path, port=free_port)
    assert "another day" not in str(failed.value)


def test_a_taken_port_is_refused_before_anything_starts(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(lifecycle.LocalAwsError, match=f"port: {port} on 127.0.0.1 is taken"):
            lifecycle.start(tmp_path, port=port)
        foreground = subprocess.run(
            [sys.executable, "-m", "local", "--state-dir", tmp_path, "--port", str(port)],
            cwd=lifecycle.CHECKOUT,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert foreground.returncode == 1
    assert foreground.stderr.startswith(f"port: {port} on 127.0.0.1 is taken")
    assert everything_of(tmp_path) == []


@pytest.mark.parametrize("port", [0, -5, 65536])
def test_a_port_that_cannot_be_is_refused(tmp_path, port):
    with pytest.raises(lifecycle.LocalAwsError, match=f"from 1 to 65535, got {port}"):
        lifecycle.start(tmp_path, port=port)


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path, free_port):
    (tmp_path / "file").touch()
    assert lifecycle.status(tmp_path / "file").running is False
    with pytest.raises(lifecycle.LocalAwsError, match=r"LECTERN_LOCAL_DIR: \S+/file cannot"):
        lifecycle.start(tmp_path / "file", port=free_port)


def test_the_state_directory_is_the_checkouts_or_the_environments(monkeypatch, tmp_path):
    monkeypatch.delenv("LECTERN_LOCAL_DIR", raising=False)
    assert lifecycle.default_state_dir() == lifecycle.CHECKOUT / ".local"
    monkeypatch.setenv("LECTERN_LOCAL_DIR", str(tmp_path))
    assert lifecycle.default_state_dir() == tmp_path


def test_an_interrupt_in_the_foreground_ends_it_cleanly(tmp_path, free_port):
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "--state-dir", tmp_path, "--port", str(free_port)],
        cwd=lifecycle.CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not lifecycle.status(tmp_path).running and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    assert everything_of(tmp_path) == []
