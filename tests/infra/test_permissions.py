"""What each role may do, statement by statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

STAGES = ["local", "dev", "prod"]
JOB = {
    "cloudwatch:PutMetricData",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKey",
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
    "s3:AbortMultipartUpload",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutObject",
}
LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
TABLE_KEY = {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"}
ROLES = {
    "training/ReviewsProcessingRole": JOB,
    "training/ReviewsTrainingRole": JOB,
    "training/ReviewsPipelineRole": {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "iam:PassRole",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "lambda:InvokeFunction",
        "s3:GetObject",
        "sagemaker:AddTags",
        "sagemaker:CreateModelPackage",
        "sagemaker:CreateProcessingJob",
        "sagemaker:CreateTrainingJob",
        "sagemaker:DescribeModelPackage",
        "sagemaker:DescribeModelPackageGroup",
        "sagemaker:DescribeProcessingJob",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:ListTags",
        "sagemaker:StopProcessingJob",
        "sagemaker:StopTrainingJob",
    },
    "training/ApprovedRole": {
        *LOG,
        "sagemaker:DescribeModelPackage",
        "sagemaker:ListModelPackages",
    },
    "inference/ReviewsRole": JOB,
    "inference/ReviewsServerlessRole": JOB,
    "inference/SmokeTestRole": {
        *LOG,
        "cloudformation:DescribeStacks",
        "sagemaker:DescribeEndpoint",
        "sagemaker:InvokeEndpoint",
    },
    "release/ReleaseRole": {
        *LOG,
        "cloudformation:DescribeStacks",
        "cloudformation:UpdateStack",
        "sagemaker:DescribeModelPackage",
        "sagemaker:ListModelPackages",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "ssm:GetParameters",
    },
    "batch/FilesRole": {
        *LOG,
        *TABLE_KEY,
        "dynamodb:UpdateItem",
        "s3:AbortMultipartUpload",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
    },
    "batch/UploadRole": {"states:StartExecution"},
    "batch/Role": {
        *TABLE_KEY,
        "dynamodb:UpdateItem",
        "events:DescribeRule",
        "events:PutRule",
        "events:PutTargets",
        "lambda:InvokeFunction",
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:GetLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
        "sagemaker:AddTags",
        "sagemaker:CreateTransformJob",
        "sagemaker:DescribeTransformJob",
        "sagemaker:ListTags",
        "sagemaker:StopTransformJob",
        "ssm:GetParameter",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    },
    "api/LaterAskRole": {
        *LOG,
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "s3:GetObject",
        "s3:PutObject",
        "sagemaker:InvokeEndpoint",
        "ssm:GetParameter",
    },
    "api/AuthorizerRole": LOG,
    "api/FrontRole": {
        *LOG,
        *TABLE_KEY,
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
        "lambda:InvokeFunction",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "sagemaker:DescribeEndpoint",
        "sagemaker:InvokeEndpoint",
        "ssm:GetParameter",
        "ssm:GetParametersByPath",
        "states:DescribeExecution",
        "states:StartExecution",
        "states:StopExecution",
    },
}
# What a pipeline that searches for its hyperparameters may besides.
SEARCH = {
    "sagemaker:CreateHyperParameterTuningJob",
    "sagemaker:DescribeHyperParameterTuningJob",
    "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
    "sagemaker:StopHyperParameterTuningJob",
}
# Actions that AWS knows no resource for, or whose resource has no name before it exists.
ANY_RESOURCE = {
    "ecr:GetAuthorizationToken": "the token is for the whole registry",
    "cloudwatch:PutMetricData": "metrics are no resources; a condition holds the namespace",
    **dict.fromkeys(
        [action for action in ROLES["batch/Role"] if action.startswith("logs:")],
        "the delivery of logs is set up per account",
    ),
    **dict.fromkeys(
        [action for action in ROLES["batch/Role"] if action.startswith("xray:")],
        "traces are no resources",
    ),
}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(templates, stage) -> Iterator[tuple[str, dict[str, Any]]]:
    for stack, template in templates(stage).items():
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::IAM::Policy":
                [role] = resource["Properties"]["Roles"]
                name = f"{stack}/{role['Ref'][:-8]}"
                for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                    yield name, statement


def test_each_role_has_exactly_its_actions(templates):
    found: dict[str, set[str]] = {}
    for role, statement in statements(templates, "dev"):
        found.setdefault(role, set()).update(listed(statement["Action"]))
    assert found == ROLES


@pytest.mark.parametrize("stage", STAGES)
def test_no_action_has_a_wildcard(templates, stage):
    for role, statement in statements(templates, stage):
        assert not [a for a in listed(statement["Action"]) if "*" in a], role


@pytest.mark.parametrize("stage", STAGES)
def test_any_resource_is_allowed_for_the_listed_actions_only(templates, stage):
    for role, statement in statements(templates, stage):
        if "*" in listed(statement["Resource"]):
            unlisted = set(listed(statement["Action"])) - set(ANY_RESOURCE)
            assert not unlisted, f"{role} may {unlisted} on everything"


def test_metrics_go_to_sagemakers_namespaces_only(templates):
    for role, statement in statements(templates, "dev"):
        if "cloudwatch:PutMetricData" in listed(statement["Action"]):
            namespaces = listed(statement["Condition"]["StringEquals"]["cloudwatch:namespace"])
            assert all(name.startswith("/aws/sagemaker/") for name in namespaces), role


def test_the_api_may_invoke_its_endpoints_and_nothing_else(templates):
    [resources] = [
        listed(statement["Resource"])
        for role, statement in statements(templates, "local")
        if role == "api/FrontRole" and "sagemaker:InvokeEndpoint" in listed(statement["Action"])
    ]
    names = sorted(resource["Fn::Join"][1][-1].rpartition("/")[2] for resource in resources)
    assert names == [
        "lectern-local-reviews",
        "lectern-local-tickets",
        "lectern-local-tickets-serverless",
    ]


def test_a_model_reads_the_weights_of_its_own_pipeline_only(templates):
    keys = {
        resource["Fn::Join"][1][-1]
        for role, statement in statements(templates, "local")
        if role == "inference/ReviewsRole" and "s3:GetObject" in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    # As trained, and as packaged for an ONNX engine.
    weights = {"/pipelines/reviews/models/*", "/pipelines/reviews/runs/*/package/*"}
    assert keys == {*weights, "/batches/runs/*"}


def test_a_model_writes_nothing_but_the_answers_of_batches(templates):
    keys = objects(templates, "local", "inference/ReviewsRole", "s3:PutObject")
    assert keys == {"/batches/runs/*/answers/*"}


def test_the_function_of_batches_writes_below_their_runs_only(templates):
    for stage in STAGES:
        keys = objects(templates, stage, "batch/FilesRole", "s3:PutObject")
        assert keys == {"/batches/runs/*"}


def test_the_api_writes_lines_and_uploads_and_never_a_result(templates):
    keys = objects(templates, "dev", "api/FrontRole", "s3:PutObject")
    of_batches = {key for key in keys if not key.startswith("/results/")}
    assert of_batches == {"/batches/runs/*/lines", "/uploads/*"}


def test_an_upload_may_start_batches_and_nothing_else(templates):
    [statement] = [s for role, s in statements(templates, "dev") if role == "batch/UploadRole"]
    [machine] = [
        name
        for name, resource in templates("dev")["batch"]["Resources"].items()
        if resource["Type"] == "AWS::StepFunctions::StateMachine"
    ]
    assert listed(statement["Resource"]) == [{"Ref": machine}]


def test_the_api_reads_the_list_by_the_tables_index_only(templates, text_of):
    [query] = [
        statement
        for role, statement in statements(templates, "dev")
        if role == "api/FrontRole" and "dynamodb:Query" in listed(statement["Action"])
    ]
    assert listed(query["Action"]) == ["dynamodb:Query"]
    assert text_of(query["Resource"]).endswith("/index/by-owner")


def test_the_pipelines_role_reads_the_figures_and_the_versions_that_it_registers(templates):
    keys = {
        resource["Fn::Join"][1][-1]
        for role, statement in statements(templates, "dev")
        if role == "training/ReviewsPipelineRole" and "s3:GetObject" in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    assert keys == {"/pipelines/reviews/runs/*", "/pipelines/reviews/models/*"}


def test_the_release_may_read_each_parameter_that_an_update_reads_from_ssm(templates, text_of):
    parameters = templates("dev")["inference"]["Parameters"].values()
    read = [p["Default"] for p in parameters if p["Type"].startswith("AWS::SSM::Parameter::Value")]
    [allowed] = [
        text_of(statement["Resource"])
        for role, statement in statements(templates, "dev")
        if role == "release/ReleaseRole" and "ssm:GetParameters" in listed(statement["Action"])
    ]
    assert read == [allowed.partition(":parameter")[2]]


def objects(templates, stage, role, action):
    """The keys on which a role may do something, as far as they are said."""
    return {
        resource["Fn::Join"][1][-1]
        for name, statement in statements(templates, stage)
        if name == role and action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def test_training_keeps_checkpoints_of_its_pipeline_on_spot_capacity_and_none_elsewhere(templates):
    for stage, role, checkpoints in (
        ("dev", "training/ReviewsTrainingRole", {"/checkpoints/reviews/*"}),
        # It tunes: the jobs of a search would share their checkpoints.
        ("prod", "training/ReviewsTrainingRole", set()),
        ("local", "training/TopicsTrainingRole", {"/checkpoints/topics/*"}),
        ("local", "training/ReviewsTrainingRole", set()),
        ("local", "training/TunedTrainingRole", set()),
    ):
        for action in ("s3:GetObject", "s3:PutObject"):
            keys = objects(templates, stage, role, action)
            assert {key for key in keys if "checkpoints" in key} == checkpoints, (stage, role)


def test_evaluation_reads_the_artifacts_of_its_own_pipeline_only(templates):
    keys = objects(templates, "local", "training/TopicsProcessingRole", "s3:GetObject")
    artifacts = {"/pipelines/topics/runs/*", "/pipelines/topics/models/*"}
    assert {key for key in keys if key.startswith("/pipelines/")} == {
        *artifacts,
        "/pipelines/topics/data/*",
    }


def test_only_a_pipeline_that_tunes_may_start_searches_and_only_the_pipelines_own(
    templates, text_of
):
    for stage, role, tunes in (
        ("prod", "training/ReviewsPipelineRole", True),
        ("dev", "training/ReviewsPipelineRole", False),
        ("local", "training/TunedPipelineRole", True),
        ("local", "training/TicketsPipelineRole", False),
    ):
        found = [
            (action, text_of(resource).rpartition(":")[2])
            for name, statement in statements(templates, stage)
            if name == role
            for action in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        ]
        allowed = {action for action, _ in found}
        expected = ROLES["training/ReviewsPipelineRole"] | (SEARCH if tunes else set())
        assert allowed == expected, (stage, role)
        searched = {resource for action, resource in found if action in SEARCH}
        jobs = {f"{kind}-job/pipelines-*" for kind in ("processing", "training")}
        tuning = {"hyper-parameter-tuning-job/*-?une-*"}
        assert searched == (jobs | tuning if tunes else set())


def test_a_pipeline_may_call_the_function_that_knows_the_approved_version_and_no_other(templates):
    [called] = [
        listed(statement["Resource"])
        for role, statement in statements(templates, "local")
        if role == "training/TunedPipelineRole"
        and "lambda:InvokeFunction" in listed(statement["Action"])
    ]
    [function] = [
        name
        for name, resource in templates("local")["training"]["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    ]
    assert called == [{"Fn::GetAtt": [function, "Arn"]}]


def test_the_function_reads_the_versions_of_the_stages_groups_and_no_others(templates, text_of):
    [resources] = [
        listed(statement["Resource"])
        for role, statement in statements(templates, "local")
        if role == "training/ApprovedRole"
        and "sagemaker:ListModelPackages" in listed(statement["Action"])
    ]
    assert {text_of(resource).rpartition(":")[2] for resource in resources} == {
        f"{kind}/lectern-local-{pipeline}{below}"
        for pipeline in ("tickets", "reviews", "topics", "tuned")
        for kind, below in (("model-package", "/*"), ("model-package-group", ""))
    }


def test_training_cannot_write_what_prepare_wrote(templates):
    keys = objects(templates, "dev", "training/ReviewsTrainingRole", "s3:PutObject")
    assert keys == {"/pipelines/reviews/models/*", "/checkpoints/reviews/*"}


def test_roles_are_passed_to_sagemaker_only(templates):
    passing = [s for _, s in statements(templates, "dev") if "iam:PassRole" in listed(s["Action"])]
    assert len(passing) == 1
    assert passing[0]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }
    assert all(set(resource) == {"Fn::GetAtt"} for resource in listed(passing[0]["Resource"]))


def test_the_key_is_used_through_s3_or_for_aws_only(templates):
    for role, statement in statements(templates, "dev"):
        actions = set(listed(statement["Action"]))
        if actions & {"kms:Decrypt", "kms:GenerateDataKey"}:
            assert "kms:ViaService" in statement["Condition"]["StringEquals"], role
        if "kms:CreateGrant" in actions:
            assert statement["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}, role


@pytest.mark.parametrize("stage", STAGES)
def test_no_statement_is_for_everything_of_a_service(templates, stage, text_of):
    everything = {
        text
        for _, statement in statements(templates, stage)
        for resource in listed(statement["Resource"])
        for text in [text_of(resource).replace("<AWS::AccountId>", "ACCOUNT")]
        if re.fullmatch(r"arn:([^:]*:){4}(\*|[a-z-]+/\*)", text)
    }
    # A job has the name of its batch, which is anybody's.
    assert everything == {"arn:aws:sagemaker:us-east-1:ACCOUNT:transform-job/*"}


def test_each_role_is_assumed_by_its_service_and_for_this_account_only(templates):
    assumed = {}
    for stack, template in templates("dev").items():
        for name, role in template["Resources"].items():
            if role["Type"] == "AWS::IAM::Role":
                [statement] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
                conditions = sorted(statement.get("Condition", {}))
                assumed[f"{stack}/{name[:-8]}"] = (statement["Principal"]["Service"], conditions)
    guarded = ["ArnLike", "StringEquals"]
    sagemaker = dict.fromkeys(
        [role for role in ROLES if role.startswith(("training/Reviews", "inference/Reviews"))],
        ("sagemaker.amazonaws.com", guarded),
    )
    assert assumed == {
        **sagemaker,
        "batch/Role": ("states.amazonaws.com", guarded),
        "batch/UploadRole": ("events.amazonaws.com", guarded),
        "batch/FilesRole": ("lambda.amazonaws.com", []),
        "training/ApprovedRole": ("lambda.amazonaws.com", []),
        "inference/SmokeTestRole": ("lambda.amazonaws.com", []),
        "release/ReleaseRole": ("lambda.amazonaws.com", []),
        "api/FrontRole": ("lambda.amazonaws.com", []),
        "api/AuthorizerRole": ("lambda.amazonaws.com", []),
        "api/LaterAskRole": ("lambda.amazonaws.com", []),
        "api/GatewayLogRole": ("apigateway.amazonaws.com", []),
    }


def test_only_the_gateways_log_role_has_a_policy_of_aws(templates):
    managed = {
        (stack, name)
        for stack, template in templates("prod").items()
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role" and resource["Properties"].get("ManagedPolicyArns")
    }
    assert managed == {("api", "GatewayLogRole36452DF1")}
