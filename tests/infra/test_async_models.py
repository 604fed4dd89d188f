"""A model that answers from a queue, and answers of all models that come later."""

from __future__ import annotations

import json

import pytest

from infra.settings import Settings


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """The stacks of a stage with an async model on a GPU, one on a CPU, and a serverless one."""
    from aws_cdk import assertions

    from app import project_app
    from infra.api_stack import ApiStack
    from infra.batch_stack import BatchStack
    from infra.inference_stack import InferenceStack
    from infra.storage_stack import StorageStack

    def model(endpoint, batch="ml.m5.xlarge"):
        return {
            "task": "text-classification",
            "source": {"artifact": "s3://theirs/model.tar.gz"},
            "endpoint": endpoint,
            "batch": {"instance_type": batch},
        }

    queue = {"kind": "async", "instances": 2}
    settings = Settings.model_validate(
        {
            "stage": "dev",
            "name": "lectern",
            "region": "eu-central-1",
            "retain_data": False,
            "models": {
                "large": model(
                    {
                        **queue,
                        "instance_type": "ml.g5.xlarge",
                        "max_concurrent_requests": 7,
                        "timeout_seconds": 3600,
                    },
                    "ml.g5.xlarge",
                ),
                "slow": model({**queue, "instance_type": "ml.m5.xlarge"}),
                "quick": model({"kind": "serverless", "memory_mb": 2048, "max_concurrency": 1}),
            },
            "api": {"auth": "api-key", "throttle": {"rate": 1, "burst": 1}},
            "logs": {"retention_days": 1},
        }
    )
    app = project_app(outdir=str(tmp_path_factory.mktemp("out")))
    given = {"settings": settings}
    storage = StorageStack(app, settings.stack_name("storage"), **given)
    inference = InferenceStack(app, settings.stack_name("inference"), **given, storage=storage)
    batch = BatchStack(app, settings.stack_name("batch"), **given, storage=storage)
    api = ApiStack(
        app,
        settings.stack_name("api"),
        **given,
        storage=storage,
        inference=inference,
        batch=batch,
    )
    return {
        name: assertions.Template.from_stack(stack).to_json()["Resources"]
        for name, stack in {"inference": inference, "api": api}.items()
    }


def properties(stacks, stack, id):
    [found] = [one["Properties"] for name, one in stacks[stack].items() if name[:-8] == id]
    return found


def allowed(stacks, text_of, stack, role):
    """(action, resource) of a role, a bucket's name left out."""
    document = properties(stacks, stack, f"{role}DefaultPolicy")["PolicyDocument"]
    listed = [
        (action, text_of(resource))
        for statement in document["Statement"]
        for action in one_or_more(statement["Action"])
        for resource in one_or_more(statement["Resource"])
    ]
    return {(action, text.rpartition("results/")[2]) for action, text in listed}


def one_or_more(value):
    return value if isinstance(value, list) else [value]


def test_an_async_config_has_a_queue_and_writes_below_its_models_prefix(stacks, text_of):
    config = properties(stacks, "inference", "LargeEndpointConfig")
    queue = config["AsyncInferenceConfig"]
    assert queue["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 7}
    output = queue["OutputConfig"]
    # No slash at the end: SageMaker adds one.
    assert text_of(output["S3OutputPath"]).endswith("/results/answers/large")
    assert text_of(output["S3FailurePath"]).endswith("/results/failures/large")
    assert "Key" in str(output["KmsKeyId"])
    [variant] = config["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.g5.xlarge", 2)
    assert variant["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1"
    assert "ServerlessConfig" not in variant
    # Its NVMe takes no key.
    assert "KmsKeyId" not in config
    slow = properties(stacks, "inference", "SlowEndpointConfig")
    client = slow["AsyncInferenceConfig"]["ClientConfig"]
    assert client == {"MaxConcurrentInvocationsPerInstance": 4}
    assert "KmsKeyId" in slow
    assert "AsyncInferenceConfig" not in properties(stacks, "inference", "QuickEndpointConfig")


def test_an_async_model_is_on_a_machine_of_its_own_and_isolated(stacks):
    model = properties(stacks, "inference", "LargeModel")
    assert model["EnableNetworkIsolation"] is True
    assert "-gpu-" in model["PrimaryContainer"]["Image"]


def test_a_queues_container_takes_more_than_a_request_over_http_may_hold(stacks):
    found = {
        name: properties(stacks, "inference", f"{name}Model")["PrimaryContainer"]["Environment"]
        for name in ("Large", "Quick")
    }
    assert found["Large"]["SAGEMAKER_MAX_PAYLOAD_IN_MB"] == "100"
    assert found["Large"]["MMS_MAX_RESPONSE_SIZE"] == "104857600"
    assert not {"SAGEMAKER_MAX_PAYLOAD_IN_MB", "MMS_MAX_RESPONSE_SIZE"} & set(found["Quick"])


def test_an_async_models_role_reads_inputs_and_writes_its_own_outputs(stacks, text_of):
    found = allowed(stacks, text_of, "inference", "LargeRole")
    assert ("s3:GetObject", "*/input.json") in found
    writes = {key for action, key in found if action == "s3:PutObject"}
    assert {key for key in writes if "batches" not in key} == {
        "answers/large/*",
        "failures/large/*",
    }
    other = allowed(stacks, text_of, "inference", "QuickRole")
    keys = [key for _, key in other if "batches" not in key]
    assert not [key for key in keys if "answers" in key or "input.json" in key]


def test_the_smoke_test_may_queue_and_no_more_than_its_own_samples(stacks, text_of):
    found = allowed(stacks, text_of, "inference", "SmokeTestRole")
    endpoints = {key.rpartition("/")[2] for action, key in found if action.endswith("Async")}
    assert endpoints == {"lectern-dev-large", "lectern-dev-slow"}
    assert {key for action, key in found if action == "s3:PutObject"} == {"smoke/*"}
    reads = {key for action, key in found if action == "s3:GetObject"}
    assert reads == {"answers/*", "failures/*"}


def test_the_smoke_test_is_told_where_a_queue_finds_its_sample(stacks, text_of):
    proofs = {
        text_of(one["Properties"]["EndpointName"]): one["Properties"]
        for one in stacks["inference"].values()
        if one["Type"] == "Custom::SmokeTest"
    }
    told = {name: "Samples" in proof for name, proof in proofs.items()}
    assert sorted(told.values()) == [False, True, True]
    samples = {text_of(p["Samples"]) for p in proofs.values() if "Samples" in p}
    assert all(sample.endswith("/results/smoke") for sample in samples)


def test_the_record_says_how_long_a_request_may_take(stacks, text_of):
    records = {
        name: json.loads(text_of(properties(stacks, "inference", f"{name}Record")["Value"]))
        for name in ("Large", "Slow", "Quick")
    }
    assert records["Large"]["timeout_seconds"] == 3600
    assert records["Slow"]["timeout_seconds"] == 900
    assert "timeout_seconds" not in records["Quick"]


def test_the_api_may_queue_and_hand_calls_over(stacks, text_of):
    found = allowed(stacks, text_of, "api", "FrontRole")
    endpoints = {key.rpartition("/")[2] for action, key in found if action.endswith("Async")}
    assert endpoints == {"lectern-dev-large", "lectern-dev-slow"}
    assert [action for action, _ in found].count("lambda:InvokeFunction") == 1
    writes = {key for action, key in found if action == "s3:PutObject"}
    of_results = {key for key in writes if "batches" not in key and "uploads" not in key}
    assert of_results == {"*/input.json", "*/record.json"}
    front = properties(stacks, "api", "FrontFunction")["Environment"]["Variables"]
    assert "LaterAskFunction" in str(front["LATER_FUNCTION"])


def test_what_asks_later_is_the_same_code_and_is_invoked_once(stacks, text_of):
    front, later = (
        properties(stacks, "api", name) for name in ("FrontFunction", "LaterAskFunction")
    )
    assert later["Code"] == front["Code"]
    assert (front["Handler"], later["Handler"]) == ("handler.handler", "later.handler")
    assert later["Timeout"] == 900
    assert "ReservedConcurrentExecutions" not in later
    [once] = [
        one["Properties"]
        for one in stacks["api"].values()
        if one["Type"] == "AWS::Lambda::EventInvokeConfig"
    ]
    assert (once["MaximumRetryAttempts"], once["MaximumEventAgeInSeconds"]) == (0, 900)
    found = allowed(stacks, text_of, "api", "LaterAskRole")
    assert {key for action, key in found if action == "s3:GetObject"} == {"*/input.json"}
    writes = {key for action, key in found if action == "s3:PutObject"}
    assert writes == {"*/claim.json", "*/outcome.json"}
