from __future__ import annotations

import json
import threading
import time

import psutil
import pytest

from local.sagemaker import SageMakerError, deployment


@pytest.fixture(scope="module")
def models(lab, light):
    """Three models that say different things, and what cannot be served."""
    for name in ("one", "two"):
        artifact = lab.put(f"models/{name}.tar.gz", lab.archive({"says": name}))
        lab.config(f"{name}-config", lab.model(name, artifact, light))
    lab.config("missing-config", lab.model("missing", lab.uri("models/no.tar.gz"), light))
    lab.config("garbage-config", lab.model("garbage", lab.put("models/x", "text"), light))
    silent = lab.put("models/silent.tar.gz", lab.archive({"nothing": ""}))
    lab.config("silent-config", lab.model("silent", silent, light))
    crash = lab.put("models/crash.tar.gz", lab.archive({"code/requirements.txt": "absent==1"}))
    lab.config("crash-config", lab.model("crash", crash, light))


@pytest.fixture(scope="module")
def served(lab, models):
    found = lab.endpoint("Served", "one-config")
    assert found["EndpointStatus"] == "InService", found
    return "Served"


def ask(lab, endpoint, body=b"hello", **headers):
    answer = lab.sagemaker.invoke(
        endpoint, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    return answer.body.decode()


def update(lab, endpoint, config):
    lab.call("UpdateEndpoint", {"EndpointName": endpoint, "EndpointConfigName": config})
    return lab.wait("Endpoint", endpoint)


def test_an_endpoint_answers_with_its_models_handler(lab, served):
    answer = lab.sagemaker.invoke(
        served,
        b"hello",
        {
            "content-type": "text/plain",
            "accept": "text/answer",
            "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
            "Authorization": "stays here",
        },
    )
    assert (answer.status, answer.body) == (200, b"one:hello")
    assert answer.headers["x-Amzn-Invoked-Production-Variant"] == "AllTraffic"
    assert answer.headers["Content-Type"] == "text/answer"
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "trace=1"


def test_describe_shows_the_variant_and_events_tell_the_states(lab, served):
    found = lab.describe("Endpoint", served)
    (variant,) = found["ProductionVariants"]
    assert variant["VariantName"] == "AllTraffic"
    assert variant["CurrentInstanceCount"] == 1
    assert variant["DeployedImages"][0]["SpecifiedImage"] == lab.inference_image
    states = [
        detail["EndpointStatus"]
        for kind, detail, arns in lab.platform.events
        if kind == "SageMaker Endpoint State Change" and arns == [found["EndpointArn"]]
    ]
    assert states[:2] == ["CREATING", "IN_SERVICE"]


def test_only_the_loopback_address_is_listened_on(lab, served):
    pid = json.loads(ask(lab, served, b"who"))["pid"]
    listening = [c for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


def test_a_handlers_error_is_a_model_error_with_the_containers_words(lab, served):
    with pytest.raises(SageMakerError) as failure:
        ask(lab, served, b"bad")
    error = failure.value
    assert (error.code, error.status) == ("ModelError", 424)
    assert error.extra["OriginalStatusCode"] == 400
    assert json.loads(error.extra["OriginalMessage"]) == {
        "code": 400,
        "type": "InternalServerException",
        "message": "cannot read bad",
    }
    assert error.message.startswith("Received client error (400) from primary with message")
    assert error.extra["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/Served")


def test_unknown_endpoints_and_variants_and_long_bodies_are_refused(lab, served):
    with pytest.raises(SageMakerError, match="Endpoint nobody of account") as missing:
        ask(lab, "nobody")
    assert (missing.value.code, missing.value.status) == ("ValidationError", 400)
    with pytest.raises(SageMakerError, match="Variant Other not found"):
        ask(lab, served, X_Amzn_SageMaker_Target_Variant="Other")
    with pytest.raises(SageMakerError, match="less than or equal to 6291456"):
        ask(lab, served, b"x" * 6_291_457)


def test_an_update_is_not_noticed_by_those_who_keep_asking(lab, models):
    assert lab.endpoint("busy", "one-config")["EndpointStatus"] == "InService"
    answers, faults, done = [], [], threading.Event()

    def once(body):
        try:
            answers.append(ask(lab, "busy", body).split(":")[0])
        except SageMakerError as error:
            faults.append(error)

    def keep_asking(body):
        while not done.is_set():
            once(body)
            time.sleep(0.01)

    askers = [threading.Thread(target=keep_asking, args=(body,)) for body in (b"hi", b"ho")]
    for asker in askers:
        asker.start()
    lab.eventually(lambda: len(answers) > 5)
    askers.append(threading.Thread(target=once, args=(b"slow",)))
    askers[-1].start()
    found = update(lab, "busy", "two-config")
    lab.eventually(lambda: "two" in answers)
    done.set()
    for asker in askers:
        asker.join()
    assert faults == []
    assert found["EndpointConfigName"] == "two-config"
    assert set(answers) == {"one", "two"}
    assert ask(lab, "busy") == "two:hello"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("missing-config", "Could not find model data at s3://"),
        ("garbage-config", "Failed to extract model data archive"),
        ("crash-config", "absent==1 not installed on this machine"),
    ],
)
def test_an_update_that_fails_leaves_the_old_model_serving(lab, served, config, words):
    found = update(lab, served, config)
    assert found["EndpointStatus"] == "InService"
    assert words in found["FailureReason"]
    assert found["EndpointConfigName"] == "one-config"
    assert ask(lab, served) == "one:hello"


def test_a_new_endpoint_without_its_model_data_fails_and_can_only_be_deleted(lab, models):
    found = lab.endpoint("hopeless", "missing-config")
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"] == f"Could not find model data at {lab.uri('models/no.tar.gz')}."
    with pytest.raises(SageMakerError, match="in status Failed"):
        update(lab, "hopeless", "one-config")
    lab.call("DeleteEndpoint", {"EndpointName": "hopeless"})
    lab.eventually(lambda: gone(lab, "hopeless"))


def test_ping_passes_over_a_model_that_failed_to_load(lab, models):
    assert lab.endpoint("silent", "silent-config")["EndpointStatus"] == "InService"


def test_a_dead_process_is_replaced(lab, served):
    before = json.loads(ask(lab, served, b"who"))["pid"]
    with pytest.raises(SageMakerError) as death:
        ask(lab, served, b"die")
    assert death.value.extra["OriginalStatusCode"] == 500
    assert "Worker died." in death.value.extra["OriginalMessage"]
    after = json.loads(ask(lab, served, b"who"))
    assert after["says"] == "one"
    assert after["pid"] != before


def test_a_serverless_variant_sleeps_and_wakes(lab, models, monkeypatch):
    monkeypatch.setattr(deployment, "SERVERLESS_IDLE_SECONDS", 1.0)
    serverless = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    lab.config("serverless-config", "two", **serverless)
    found = lab.endpoint("sleepy", "serverless-config")
    assert found["ProductionVariants"][0]["CurrentServerlessConfig"]["MemorySizeInMB"] == 2048
    pid = json.loads(ask(lab, "sleepy", b"who"))["pid"]
    lab.eventually(lambda: not psutil.pid_exists(pid))
    assert ask(lab, "sleepy") == "two:hello"
    with pytest.raises(SageMakerError, match="less than or equal to 4194304"):
        ask(lab, "sleepy", b"x" * 4_194_305)


def test_several_workers_answer_at_the_same_time(lab, models, light):
    environment = {**light, "SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    lab.config("wide-config", lab.model("wide", lab.uri("models/one.tar.gz"), environment))
    lab.endpoint("wide", "wide-config")
    slow = threading.Thread(target=ask, args=(lab, "wide", b"slow"))
    slow.start()
    time.sleep(0.2)
    started = time.monotonic()
    assert ask(lab, "wide") == "one:hello"
    assert time.monotonic() - started < 0.5
    slow.join()


def test_what_a_container_prints_is_in_the_endpoints_log_group(lab, served):
    ask(lab, served)
    group = "/aws/sagemaker/Endpoints/Served"
    found = lab.eventually(
        lambda: [line for line in lab.log(group, "AllTraffic/") if "POST /invocations" in line]
    )
    assert found[0].startswith('ACCESS_LOG - "POST /invocations HTTP/1.1"')


def test_a_deleted_endpoint_ends_its_process(lab, models):
    lab.endpoint("brief", "one-config")
    pid = json.loads(ask(lab, "brief", b"who"))["pid"]
    lab.call("DeleteEndpoint", {"EndpointName": "brief"})
    lab.eventually(lambda: gone(lab, "brief"))
    assert not psutil.pid_exists(pid)
    with pytest.raises(SageMakerError, match="not found"):
        ask(lab, "brief")


def test_deleting_config_and_model_leaves_the_endpoint_serving(lab, models, light):
    lab.config("short-config", lab.model("short", lab.uri("models/two.tar.gz"), light))
    lab.endpoint("lasting", "short-config")
    lab.call("DeleteEndpointConfig", {"EndpointConfigName": "short-config"})
    lab.call("DeleteModel", {"ModelName": "short"})
    assert ask(lab, "lasting") == "two:hello"
    with pytest.raises(SageMakerError, match="Could not find existing endpoint configuration"):
        update(lab, "lasting", "one-config")


def test_names_are_unique_and_what_is_missing_is_named(lab, served):
    with pytest.raises(SageMakerError, match='Cannot create already existing endpoint "arn:'):
        lab.endpoint(served, "one-config")
    with pytest.raises(SageMakerError, match='Cannot create already existing model "arn:'):
        lab.model("one", None)
    with pytest.raises(SageMakerError, match='Could not find endpoint configuration "arn:'):
        lab.endpoint("other", "nobody")
    with pytest.raises(SageMakerError, match=r'Could not find model "arn:.*:model/nobody"\.'):
        lab.config("other", "nobody")
    with pytest.raises(SageMakerError, match="does not run on the local AWS"):
        lab.call(
            "CreateModel",
            {
                "ModelName": "foreign",
                "ExecutionRoleArn": lab.role,
                "PrimaryContainer": {"Image": "nginx:latest"},
            },
        )


def gone(lab, name):
    try:
        lab.describe("Endpoint", name)
    except SageMakerError as error:
        assert error.code == "ValidationException"  # noqa: PT017
        return True
    return False
