"""Batches as they are deployed: the table, the steps, what an upload sets off, which buckets are read."""

from __future__ import annotations

import json

import pytest
import yaml

from infra.settings import Settings
from tests.infra.stage_parts import STAGE, changed


@pytest.fixture(scope="module")
def open_to_others(tmp_path_factory):
    """The templates of a stage whose batches read other buckets, and whose API is open to a page."""
    from app import build, project_app

    folder = tmp_path_factory.mktemp("stages")
    stage = changed(
        STAGE,
        {
            "api/batches": {"buckets": ["incoming", "archive"], "expire_days": 7},
            "api/cors": {"origins": ["https://app.example.com"]},
            "api/pages": {"playground": False},
            "api/tenancy": True,
        },
    )
    (folder / "dev.yaml").write_text(yaml.safe_dump(stage))
    out = tmp_path_factory.mktemp("out")
    app = project_app(outdir=str(out), stage="dev", stages=str(folder))
    build(app)
    app.synth()
    return {
        path.name.removesuffix(".template.json").removeprefix("lectern-dev-"): json.loads(
            path.read_text(encoding="utf-8")
        )
        for path in out.glob("*.template.json")
    }


@pytest.fixture(scope="module")
def definition(resources, text_of):
    [machine] = resources("dev", "batch", "AWS::StepFunctions::StateMachine").values()
    return json.loads(text_of(machine["Properties"]["DefinitionString"]))


def test_records_are_encrypted_recoverable_and_forgotten_in_time(resources):
    [table] = resources("dev", "batch", "AWS::DynamoDB::Table").values()
    properties = table["Properties"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["SSESpecification"]["SSEType"] == "KMS"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    [index] = properties["GlobalSecondaryIndexes"]
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["owner", "id"]


def test_the_model_gets_lines_and_gives_lines(definition):
    job = definition["States"]["Transform"]["Parameters"]
    assert job["BatchStrategy"] == "MultiRecord"
    assert job["TransformInput"]["SplitType"] == job["TransformOutput"]["AssembleWith"] == "Line"
    assert (
        job["TransformInput"]["ContentType"]
        == job["TransformOutput"]["Accept"]
        == ("application/jsonlines")
    )
    lookup = definition["States"]["FindModel"]["Parameters"]["Name.$"]
    assert lookup == "States.Format('/lectern/dev/models/{}', $.model)"


def test_every_failure_is_told_to_the_record(definition):
    states = definition["States"]
    tasks = {name for name, state in states.items() if state["Type"] == "Task"}
    told = {
        name
        for name in tasks
        for catch in states[name].get("Catch", [])
        if catch["ErrorEquals"] == ["States.ALL"] and catch["Next"] == "TellFailure"
    }
    # Before the batch begins there is nothing to fail, and the last one tells.
    assert tasks - told == {"Begin", "TellFailure"}


def test_no_state_is_lost_on_the_way_to_the_template(definition):
    # A null is left out of a template, so no state may rely on one.
    assert all(state.get("ResultPath", "$") for state in definition["States"].values())
    named = {definition["StartAt"]}
    for state in definition["States"].values():
        named |= {state[key] for key in ("Next", "Default") if key in state}
        named |= {one["Next"] for key in ("Catch", "Choices") for one in state.get(key, [])}
    assert named == set(definition["States"])


def test_a_batch_begins_once(definition):
    begin = definition["States"]["Begin"]
    assert "attribute_not_exists(#execution)" in begin["Parameters"]["ConditionExpression"]
    [refused, _] = begin["Retry"]
    assert (refused["ErrorEquals"], refused["MaxAttempts"]) == (
        ["DynamoDB.ConditionalCheckFailedException"],
        0,
    )


def test_uploads_and_nothing_else_begin_a_batch(resources):
    [bucket] = [
        one["Properties"]
        for one in resources("dev", "storage", "AWS::S3::Bucket").values()
        if "NotificationConfiguration" in one["Properties"]
    ]
    assert bucket["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    [rule] = resources("dev", "batch", "AWS::Events::Rule").values()
    pattern = rule["Properties"]["EventPattern"]
    assert pattern["detail-type"] == ["Object Created"]
    assert pattern["detail"]["object"] == {"key": [{"prefix": "uploads/"}]}
    assert len(pattern["detail"]["bucket"]["name"]) == 1
    [target] = rule["Properties"]["Targets"]
    assert target["InputTransformer"]["InputTemplate"] == '{"upload":<detail-object-key>}'
    assert target["InputTransformer"]["InputPathsMap"] == {
        "detail-object-key": "$.detail.object.key"
    }


@pytest.mark.parametrize(("stack", "role"), [("batch", "FilesRole"), ("api", "FrontRole")])
def test_the_named_buckets_are_read_and_no_others(open_to_others, text_of, stack, role):
    read = set()
    for resource in open_to_others[stack]["Resources"].values():
        if resource["Type"] != "AWS::IAM::Policy":
            continue
        if resource["Properties"]["Roles"][0]["Ref"][:-8] != role:
            continue
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
            if "s3:GetObject" in statement["Action"]:
                found = statement["Resource"]
                read |= {text_of(one) for one in (found if isinstance(found, list) else [found])}
    foreign = {one for one in read if one.startswith("arn:aws:s3:::")}
    assert foreign == {"arn:aws:s3:::incoming/*", "arn:aws:s3:::archive/*"}


def test_the_function_is_told_what_the_stage_says(open_to_others):
    variables = [
        resource["Properties"].get("Environment", {}).get("Variables", {})
        for stack in ("api", "batch")
        for resource in open_to_others[stack]["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function"
    ]
    [front] = [one for one in variables if "BATCH_BUCKETS" in one]
    [files] = [one for one in variables if one.get("POWERTOOLS_SERVICE_NAME") == "batch"]
    assert front["BATCH_BUCKETS"] == "incoming archive"
    assert front["BATCH_EXPIRE_DAYS"] == files["EXPIRE_DAYS"] == "7"
    assert front["TENANCY"] == "on"


def test_pages_may_use_signed_addresses_where_there_are_pages(open_to_others, resources):
    def origins(buckets):
        return [
            rule["AllowedOrigins"]
            for bucket in buckets
            if bucket["Type"] == "AWS::S3::Bucket"
            for rule in bucket["Properties"].get("CorsConfiguration", {}).get("CorsRules", [])
        ]

    assert origins(open_to_others["storage"]["Resources"].values()) == [["https://app.example.com"]]
    [[playground]] = origins(resources("dev", "storage", "AWS::S3::Bucket").values())
    assert ".execute-api.us-east-1." in json.dumps(playground)


def test_settings_are_within_bounds(faults):
    assert not faults({"api/batches": {"expire_days": 365, "buckets": ["a-bucket.of.ours"]}})
    [too_long] = [f for f in faults({"api/batches": {"expire_days": 366}}) if "expire_days" in f]
    assert "365 or less" in too_long
    assert [f for f in faults({"api/batches": {"buckets": ["s3://x"]}}) if "buckets" in f]
    assert Settings.model_validate({**STAGE, "stage": "dev"}).api.batches.expire_days == 30
