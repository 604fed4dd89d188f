"""Models that no pipeline trains: weights of this machine, weights in S3, batches only."""

from __future__ import annotations

import json

import pytest

from infra.archives import tar_gz_names
from infra.settings import Settings

MODEL = {"task": "text-classification", "batch": {"instance_type": "ml.m5.xlarge"}}


@pytest.fixture(scope="module")
def inference(tmp_path_factory):
    from aws_cdk import assertions

    from app import project_app
    from infra.inference_stack import InferenceStack
    from infra.storage_stack import StorageStack

    folder = tmp_path_factory.mktemp("house")
    (folder / "config.json").write_text("{}")
    out = tmp_path_factory.mktemp("out")
    settings = Settings.model_validate(
        {
            "stage": "dev",
            "name": "lectern",
            "region": "eu-central-1",
            "retain_data": False,
            "models": {
                "house": {**MODEL, "source": {"path": str(folder)}, "endpoint": {"kind": "none"}},
                "annex": {
                    **MODEL,
                    "task": "zero-shot-classification",
                    "source": {"path": str(folder)},
                    "endpoint": {
                        "kind": "serverless",
                        "memory_mb": 2048,
                        "max_concurrency": 1,
                        "engine": "onnx-int8",
                    },
                },
                "guest": {
                    **MODEL,
                    "source": {"artifact": "s3://theirs/models/guest/model.tar.gz"},
                    "endpoint": {"kind": "serverless", "memory_mb": 2048, "max_concurrency": 1},
                },
            },
            "api": {"auth": "api-key", "throttle": {"rate": 1, "burst": 1}},
            "logs": {"retention_days": 1},
        }
    )
    app = project_app(outdir=str(out))
    storage = StorageStack(app, settings.stack_name("storage"), settings=settings)
    stack = InferenceStack(
        app, settings.stack_name("inference"), settings=settings, storage=storage
    )
    return assertions.Template.from_stack(stack).to_json() | {"Folder": out}


def resource(inference, kind, id):
    [found] = [
        one
        for name, one in inference["Resources"].items()
        if one["Type"] == kind and name[:-8] == id
    ]
    return found


def test_a_shipped_model_is_there_without_an_approval(inference):
    model = resource(inference, "AWS::SageMaker::Model", "HouseModel")
    assert "Condition" not in model
    url = model["Properties"]["PrimaryContainer"]["ModelDataUrl"]["Fn::Sub"]
    assert url.startswith("s3://cdk-hnb659fds-assets-${AWS::AccountId}-eu-central-1/")
    assert url.endswith(".tar.gz")
    version = model["Properties"]["PrimaryContainer"]["Environment"]["LECTERN_MODEL_VERSION"]
    assert version in url


def test_a_shipped_model_with_an_onnx_engine_brings_the_runtime_and_says_so(inference):
    shipped = {}
    for id in ("House", "Annex"):
        container = resource(inference, "AWS::SageMaker::Model", f"{id}Model")["Properties"][
            "PrimaryContainer"
        ]
        digest = container["ModelDataUrl"]["Fn::Sub"].rpartition("/")[2]
        names = tar_gz_names(inference["Folder"] / f"asset.{digest}")
        runtime = any(name.startswith("code/runtime/cp312/onnxruntime/") for name in names)
        shipped[id] = (container["Environment"].get("LECTERN_ENGINE"), runtime)
    assert shipped == {"House": (None, False), "Annex": ("onnx-int8", True)}
    container = resource(inference, "AWS::SageMaker::Model", "AnnexModel")["Properties"]
    assert container["PrimaryContainer"]["Environment"]["HF_TASK"] == "zero-shot-classification"


def test_a_model_for_batches_only_has_a_record_and_no_endpoint(inference):
    kinds = {r["Type"] for name, r in inference["Resources"].items() if name.startswith("House")}
    assert "AWS::SSM::Parameter" in kinds
    assert not {"AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig"} & kinds
    listed = json.loads(inference["Outputs"]["Models"]["Value"])["house"]
    assert listed == {
        "task": "text-classification",
        "endpoint": None,
        "kind": "none",
        "pipeline": None,
        "parameter": "/lectern/dev/models/house",
    }


def test_an_artifact_of_somebody_else_is_read_and_nothing_beside_it(inference):
    policy = resource(inference, "AWS::IAM::Policy", "GuestRoleDefaultPolicy")
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    read = [s["Resource"] for s in statements if s["Action"] == "s3:GetObject"]
    assert "arn:aws:s3:::theirs/models/guest/model.tar.gz" in json.dumps(read)


def test_without_a_pipeline_there_is_no_parameter_to_release_by(inference):
    assert set(inference["Parameters"]) == {"BootstrapVersion"}


def test_images_come_from_the_regions_own_registry(inference):
    model = resource(inference, "AWS::SageMaker::Model", "GuestModel")
    image = model["Properties"]["PrimaryContainer"]["Image"]
    assert image.startswith("763104351884.dkr.ecr.eu-central-1.amazonaws.com/")
