"""Asynchronous endpoints: real boto3 over HTTP, real containers, real S3."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from local import http_api
from local.sagemaker import SageMaker, SageMakerError

CHECKOUT = Path(__file__).resolve().parents[3]


def serve(sagemaker):
    """SageMaker's HTTP face; a server that `shutdown` ends."""
    handle = http_api.handler(sagemaker)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answered, content = asyncio.run(handle("POST", self.path, headers, body, {}))
            self.send_response(status)
            for name, value in {**answered, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@pytest.fixture(scope="module")
def clients(lab):
    server = serve(lab.sagemaker)
    yield {
        service: boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{server.server_port}",
            region_name="us-east-1",
            aws_access_key_id="123456789012",
            aws_secret_access_key="local",
        )
        for service in ("sagemaker", "sagemaker-runtime")
    }
    server.shutdown()


@pytest.fixture(scope="module")
def runtime(clients):
    return clients["sagemaker-runtime"]


def queue_of(lab, concurrency=2):
    return {
        "OutputConfig": {
            "S3OutputPath": lab.uri("results/answers"),
            "S3FailurePath": lab.uri("results/failures"),
        },
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": concurrency},
    }


def config(clients, name, model, queue=None, **variant):
    variant = variant or {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
    clients["sagemaker"].create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": model, **variant}],
        **({"AsyncInferenceConfig": queue} if queue else {}),
    )
    return name


@pytest.fixture(scope="module")
def queued(lab, clients, light):
    artifact = lab.put("m.tar.gz", lab.archive({"says": "one"}))
    lab.model("one", artifact, light)
    # As many processes as machines have cores, at most two: two requests run at a time.
    lab.model("wide", artifact, {**light, "SAGEMAKER_MODEL_SERVER_WORKERS": "2"})
    found = lab.endpoint("Queued", config(clients, "queued-config", "one", queue_of(lab)))
    assert found["EndpointStatus"] == "InService", found
    return "Queued"


@pytest.fixture(scope="module")
def direct(lab, clients, queued):
    lab.endpoint("direct", config(clients, "direct-config", "one"))
    return "direct"


def ask(lab, runtime, endpoint, body, **more):
    uri = lab.put(f"results/in/{time.monotonic_ns()}/input.json", body)
    return runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation=uri, **more)


def content(lab, uri, seconds=20):
    """The object once it is there."""

    def look():
        try:
            return lab.get(uri)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"  # noqa: PT017
            return None

    return lab.eventually(look, seconds)


def exists(lab, uri):
    return lab.keys(uri.split("/", 3)[3]) != []


def test_an_answer_lies_in_s3_as_the_container_gave_it(lab, queued, runtime):
    answer = ask(
        lab, runtime, queued, "hello", ContentType="text/plain", Accept="x/y", InferenceId="mine"
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "mine"
    assert answer["OutputLocation"].startswith(lab.uri("results/answers/"))
    assert answer["OutputLocation"].endswith(".out")
    assert answer["FailureLocation"].startswith(lab.uri("results/failures/"))
    assert content(lab, answer["OutputLocation"]) == b"one:hello"
    assert not exists(lab, answer["FailureLocation"])
    inline = runtime.invoke_endpoint_async(EndpointName=queued, Body=b"inline")
    assert len(inline["InferenceId"]) == 36
    assert content(lab, inline["OutputLocation"]) == b"one:inline"


def test_a_failure_lies_in_s3_with_the_containers_words(lab, queued, runtime):
    answer = ask(lab, runtime, queued, "bad one")
    told = content(lab, answer["FailureLocation"]).decode()
    assert told.startswith("Received client error (400) from primary with message")
    assert "cannot read bad one" in told
    assert not exists(lab, answer["OutputLocation"])
    missing = runtime.invoke_endpoint_async(
        EndpointName=queued, InputLocation=lab.uri("results/nothing")
    )
    assert b"results/nothing" in content(lab, missing["FailureLocation"])


def test_a_dead_process_fails_its_request_and_the_next_is_answered(lab, queued, runtime):
    death = ask(lab, runtime, queued, "die")
    assert b"Worker died." in content(lab, death["FailureLocation"])
    after = ask(lab, runtime, queued, "hello")
    assert content(lab, after["OutputLocation"]) == b"one:hello"


def test_a_request_that_takes_too_long_fails(lab, queued, runtime):
    answer = ask(lab, runtime, queued, "slower", InvocationTimeoutSeconds=1)
    assert b"timed out" in content(lab, answer["FailureLocation"])
    answer = ask(lab, runtime, queued, "slower", InvocationTimeoutSeconds=5)
    assert content(lab, answer["OutputLocation"]) == b"one:slower"


def test_each_call_belongs_to_one_kind_of_endpoint(lab, queued, direct, runtime):
    with pytest.raises(ClientError, match="is asynchronous: call InvokeEndpointAsync") as sync:
        runtime.invoke_endpoint(EndpointName=queued, Body=b"x")
    with pytest.raises(ClientError, match="is not asynchronous: call InvokeEndpoint ") as queue:
        ask(lab, runtime, direct, "x")
    with pytest.raises(ClientError, match="Endpoint nobody of account") as nobody:
        ask(lab, runtime, "nobody", "x")
    for refused in (sync, queue, nobody):
        answer = refused.value.response
        assert answer["Error"]["Code"] == "ValidationError"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "either InputLocation or Body"),
        ({"InputLocation": "s3://bucket/key", "Body": b"x"}, "either InputLocation or Body"),
        ({"InputLocation": "ftp://bucket/key"}, "regular expression"),
        ({"Body": b"x", "RequestTTLSeconds": 59}, "valid min value: 60"),
        ({"Body": b"x", "InvocationTimeoutSeconds": 3601}, "less than or equal to 3600"),
        ({"Body": b"x" * 128_001}, "less than or equal to 128000"),
    ],
)
def test_a_request_out_of_bounds_is_refused(queued, runtime, asked, told):
    with pytest.raises(ClientError, match=told):
        unchecked(runtime).invoke_endpoint_async(EndpointName=queued, **asked)


def unchecked(client):
    """The same service for a client that checks nothing itself."""
    from botocore.config import Config

    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=client.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="123456789012",
        aws_secret_access_key="local",
        config=Config(parameter_validation=False),
    )


def test_the_queue_is_worked_off_as_many_at_a_time_as_the_config_says(
    lab, queued, clients, runtime
):
    lab.endpoint("narrow", config(clients, "narrow-config", "wide", queue_of(lab, 1)))
    started = time.monotonic()
    answers = [ask(lab, runtime, "narrow", "slow") for _ in range(3)]
    assert time.monotonic() - started < 1, "nobody waits for an answer"
    for answer in answers:
        content(lab, answer["OutputLocation"])
    assert time.monotonic() - started > 3, "one at a time"
    if (os.cpu_count() or 1) < 2:
        return
    lab.call(
        "UpdateEndpoint",
        {
            "EndpointName": "narrow",
            "EndpointConfigName": config(clients, "two-config", "wide", queue_of(lab, 2)),
        },
    )
    lab.wait("Endpoint", "narrow")
    started = time.monotonic()
    for answer in [ask(lab, runtime, "narrow", "slow") for _ in range(4)]:
        content(lab, answer["OutputLocation"])
    assert 2 < time.monotonic() - started < 3.8, "two at a time"


def test_describe_shows_the_queue(lab, queued, direct, clients):
    sagemaker = clients["sagemaker"]
    found = sagemaker.describe_endpoint_config(EndpointConfigName="queued-config")
    assert found["AsyncInferenceConfig"] == queue_of(lab)
    assert sagemaker.describe_endpoint(EndpointName=queued)["AsyncInferenceConfig"] == queue_of(lab)
    assert "AsyncInferenceConfig" not in sagemaker.describe_endpoint(EndpointName=direct)


def test_what_no_queue_can_be_is_refused(lab, queued, clients):
    serverless = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    with pytest.raises(ClientError, match="not allowed with ServerlessConfig"):
        config(clients, "both", "one", queue_of(lab), **serverless)
    with pytest.raises(ClientError, match="S3OutputPath is missing"):
        config(clients, "nowhere", "one", {"OutputConfig": {}})
    topics = {"SuccessTopic": "arn:aws:sns:us-east-1:123456789012:done"}
    queue = queue_of(lab)
    queue["OutputConfig"]["NotificationConfig"] = topics
    with pytest.raises(ClientError, match="NotificationConfig is not implemented"):
        config(clients, "told", "one", queue)


def test_requests_of_a_deleted_endpoint_fail_and_are_not_forgotten(lab, queued, clients, runtime):
    lab.endpoint("brief", config(clients, "brief-config", "one", queue_of(lab, 1)))
    answers = [ask(lab, runtime, "brief", "slow") for _ in range(3)]
    clients["sagemaker"].delete_endpoint(EndpointName="brief")
    assert b"not found" in content(lab, answers[-1]["FailureLocation"])


SERVER = """
import importlib.util, json, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("lab_module", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
lab = module.Lab(sys.argv[2], Path(sys.argv[3]))
artifact = lab.put("m.tar.gz", lab.archive({"says": "back"}))
lab.model("model", artifact, json.loads(sys.argv[4]))
lab.call("CreateEndpointConfig", {
    "EndpointConfigName": "config",
    "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "model",
                            "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}],
    "AsyncInferenceConfig": {
        "OutputConfig": {"S3OutputPath": lab.uri("out"), "S3FailurePath": lab.uri("failed")},
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1}}})
assert lab.endpoint("queue", "config")["EndpointStatus"] == "InService"
taken = []
for body in ("slow", "slow", "bad", "hello"):
    uri = lab.put(f"in/{len(taken)}", body)
    headers = {"x-amzn-sagemaker-inputlocation": uri}
    taken.append(lab.sagemaker.invoke_async("queue", b"", headers).headers)
print(json.dumps(taken), flush=True)
time.sleep(60)
"""


def test_what_was_queued_when_the_server_was_killed_is_answered_by_the_next(
    lab, ministack_url, light, tmp_path
):
    here = str(Path(__file__).with_name("conftest.py"))
    words = [sys.executable, "-c", SERVER, here, ministack_url, str(tmp_path), json.dumps(light)]
    server = subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    taken = json.loads(server.stdout.readline())
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    output, failure = (f"X-Amzn-SageMaker-{name}Location" for name in ("Output", "Failure"))
    with pytest.raises(ClientError):
        lab.get(taken[-1][output])
    platform = type(lab.platform)(lab.platform.endpoint_url, tmp_path)
    sagemaker = SageMaker(platform)
    sagemaker.recover()
    try:
        said = [
            content(lab, taken[i][name], 30)
            for i, name in enumerate([output, output, failure, output])
        ]
        assert [said[0], said[1], said[3]] == [b"back:slow", b"back:slow", b"back:hello"]
        assert b"cannot read bad" in said[2]
        lab.eventually(lambda: not list((tmp_path / "sagemaker/records/AsyncInvocation").iterdir()))
        with pytest.raises(SageMakerError, match="is asynchronous"):
            sagemaker.invoke("queue", b"x", {})
    finally:
        sagemaker.stop()
