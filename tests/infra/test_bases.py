"""Pipelines that fine-tune an encoder of this machine, or a gated one: read by Stage, nowhere else."""

from __future__ import annotations

import json

import pytest

from infra.archives import files_below, write_zip
from infra.settings import Settings
from tests.infra.stage_parts import MODEL, PIPELINE, STAGE


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    from aws_cdk import assertions

    from app import project_app
    from infra.storage_stack import StorageStack
    from infra.training_stack import TrainingStack

    encoder = tmp_path_factory.mktemp("encoder")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (encoder / name).write_text(name)
    pipelines = {
        "reviews": PIPELINE,
        "own": {**PIPELINE, "base": {"path": str(encoder)}},
        "gated": {**PIPELINE, "base": {**PIPELINE["base"], "token_secret": "team/hub"}},
    }
    model = {**MODEL, "source": {"pipeline": "own"}}
    document = {**STAGE, "stage": "dev", "pipelines": pipelines, "models": {"own": model}}
    settings = Settings.model_validate(document)
    out = tmp_path_factory.mktemp("out")
    app = project_app(outdir=str(out))
    storage = StorageStack(app, settings.stack_name("storage"), settings=settings)
    stack = TrainingStack(app, settings.stack_name("training"), settings=settings, storage=storage)
    return assertions.Template.from_stack(stack).to_json() | {"Folder": out, "Encoder": encoder}


@pytest.fixture(scope="module")
def zipped(training, tmp_path_factory):
    """The name that the encoder's zip has among the assets, which is its digest's."""
    own = tmp_path_factory.mktemp("own") / "encoder.zip"
    write_zip(own, files_below(training["Encoder"]))
    same = [p for p in training["Folder"].glob("*.zip") if p.read_bytes() == own.read_bytes()]
    [found] = same
    return found.name.removeprefix("asset.")


def test_stage_reads_the_encoders_zip(training, zipped, text_of):
    [pipeline] = [
        resource["Properties"]
        for name, resource in training["Resources"].items()
        if resource["Type"] == "AWS::SageMaker::Pipeline" and name.startswith("Own")
    ]
    body = text_of(pipeline["PipelineDefinition"]["PipelineDefinitionBody"])
    stage = json.loads(body)["Steps"][0]["Arguments"]
    inputs = {one["InputName"]: one["S3Input"] for one in stage["ProcessingInputs"]}
    assert inputs["path"]["S3Uri"].endswith(f"/{zipped}")
    arguments = stage["AppSpecification"]["ContainerArguments"]
    assert arguments[:2] == ["--path", inputs["path"]["LocalPath"]]


def test_only_the_pipelines_own_processing_role_reads_the_encoders_zip(training, zipped):
    readers = {
        resource["Properties"]["Roles"][0]["Ref"][:-8]
        for resource in training["Resources"].values()
        if resource["Type"] == "AWS::IAM::Policy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "s3:GetObject" and zipped in json.dumps(statement["Resource"])
    }
    assert readers == {"OwnProcessingRole"}


def test_only_the_gated_pipelines_processing_role_reads_the_secret(training):
    policies = {
        name: json.dumps(resource["Properties"]["PolicyDocument"]["Statement"])
        for name, resource in training["Resources"].items()
        if resource["Type"] == "AWS::IAM::Policy"
    }
    readers = [name for name, text in policies.items() if "secretsmanager" in text]
    assert len(readers) == 1
    assert readers[0].startswith("GatedProcessingRole")
    [statement] = [one for one in json.loads(policies[readers[0]]) if "secrets" in str(one)]
    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert json.dumps(statement["Resource"]).count(":secret:team/hub-??????") == 1
