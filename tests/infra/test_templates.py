"""The decisions that the templates carry."""

from __future__ import annotations

import json
import re

import pytest

STAGES = ["local", "dev", "prod"]


def of(found, id):
    """The resource called `id`, whatever eight characters the CDK appends."""
    [name] = [name for name in found if name[:-8] == id]
    return found[name]


def buckets(resources, stage):
    return resources(stage, "storage", "AWS::S3::Bucket")


@pytest.mark.parametrize("stage", STAGES)
def test_data_and_artifacts_are_encrypted_with_the_key_versioned_and_private(resources, stage):
    for name, bucket in buckets(resources, stage).items():
        properties = bucket["Properties"]
        assert properties["PublicAccessBlockConfiguration"] == {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        }
        assert properties["LifecycleConfiguration"]["Rules"][0]["AbortIncompleteMultipartUpload"]
        if name.startswith("Logs"):
            continue
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert "NoncurrentVersionExpiration" in properties["LifecycleConfiguration"]["Rules"][0]
        [rule] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert (
            rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]["Fn::GetAtt"][0]
            == "Key961B73FD"
        )


def test_checkpoints_results_and_batches_are_gone_in_time_and_nothing_else_is(resources):
    for name, bucket in buckets(resources, "dev").items():
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        expiring = {
            r.get("Prefix"): r["ExpirationInDays"] for r in rules if "ExpirationInDays" in r
        }
        expected = {
            "Artifacts": {"checkpoints/": 7},
            "Data": {"results/": 7, "batches/runs/": 30, "uploads/": 30},
            "Logs": {None: 30},
        }
        assert expiring == expected[name[:-8]]
        for rule in rules:
            if "Prefix" in rule:
                # An expired object of a versioned bucket is there until this, and paid for.
                assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_every_bucket_refuses_what_does_not_come_over_tls(resources):
    policies = resources("dev", "storage", "AWS::S3::BucketPolicy").values()
    guarded = {
        policy["Properties"]["Bucket"]["Ref"]
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and statement["Principal"] == {"AWS": "*"}
    }
    assert guarded == set(buckets(resources, "dev"))


def test_the_key_rotates(resources):
    [key] = resources("dev", "storage", "AWS::KMS::Key").values()
    assert key["Properties"]["EnableKeyRotation"] is True


def test_prod_keeps_data_key_and_registry_and_dev_does_not(templates):
    kinds = {
        "AWS::S3::Bucket",
        "AWS::KMS::Key",
        "AWS::SageMaker::ModelPackageGroup",
        "AWS::Logs::LogGroup",
    }
    for stage, policy in (("prod", "Retain"), ("dev", "Delete")):
        kept = {
            resource.get("DeletionPolicy")
            for template in templates(stage).values()
            for resource in template["Resources"].values()
            if resource["Type"] in kinds
        }
        assert kept == {policy}, stage


def test_logical_ids_of_what_holds_data_never_change(resources):
    """A rename deletes the bucket with its data."""
    for stage in STAGES:
        assert set(buckets(resources, stage)) == {
            "Data666C94C7",
            "Artifacts82DD59A1",
            "Logs6819BB44",
        }
        assert set(resources(stage, "storage", "AWS::KMS::Key")) == {"Key961B73FD"}


def test_an_endpoint_on_a_gpu_has_the_gpu_image_and_no_volume_key(resources):
    model = of(resources("dev", "inference", "AWS::SageMaker::Model"), "ReviewsModel")
    assert "transformers4.51.3-gpu" in model["Properties"]["PrimaryContainer"]["Image"]
    config = of(
        resources("dev", "inference", "AWS::SageMaker::EndpointConfig"), "ReviewsEndpointConfig"
    )
    assert "KmsKeyId" not in config["Properties"]
    # Of CUDA 12.4, as the image.
    [variant] = config["Properties"]["ProductionVariants"]
    assert variant["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1"


def test_an_endpoint_on_a_cpu_has_the_cpu_image_and_the_volume_key(resources):
    model = of(resources("local", "inference", "AWS::SageMaker::Model"), "TicketsModel")
    assert "transformers4.49.0-cpu" in model["Properties"]["PrimaryContainer"]["Image"]
    config = resources("local", "inference", "AWS::SageMaker::EndpointConfig")
    properties = of(config, "TicketsEndpointConfig")["Properties"]
    assert "Key961B73FD" in str(properties["KmsKeyId"])
    assert "InferenceAmiVersion" not in properties["ProductionVariants"][0]


def test_a_serverless_endpoint_has_neither_isolation_nor_machines(resources):
    model = of(resources("dev", "inference", "AWS::SageMaker::Model"), "ReviewsServerlessModel")
    assert model["Properties"]["EnableNetworkIsolation"] is False
    config = resources("dev", "inference", "AWS::SageMaker::EndpointConfig")
    [variant] = of(config, "ReviewsServerlessEndpointConfig")["Properties"]["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MaxConcurrency": 10, "MemorySizeInMB": 4096}
    assert not {"InstanceType", "InitialInstanceCount"} & set(variant)


def test_models_on_machines_are_isolated_from_the_network(resources):
    models = resources("prod", "inference", "AWS::SageMaker::Model").values()
    assert all(model["Properties"]["EnableNetworkIsolation"] is True for model in models)


@pytest.mark.parametrize("stage", STAGES)
def test_only_the_endpoint_has_a_name_so_that_the_rest_can_be_replaced(resources, stage):
    for model in resources(stage, "inference", "AWS::SageMaker::Model").values():
        assert "ModelName" not in model["Properties"]
    for config in resources(stage, "inference", "AWS::SageMaker::EndpointConfig").values():
        assert "EndpointConfigName" not in config["Properties"]
    for endpoint in resources(stage, "inference", "AWS::SageMaker::Endpoint").values():
        assert endpoint["Properties"]["EndpointName"].startswith(f"lectern-{stage}-")


def test_nothing_of_a_pipelines_model_exists_before_a_version_is_approved(templates):
    template = templates("local")["inference"]
    made_of_a_version = {
        "AWS::SageMaker::Model",
        "AWS::SageMaker::EndpointConfig",
        "AWS::SageMaker::Endpoint",
        "Custom::SmokeTest",
        "AWS::SSM::Parameter",
    }
    for name, resource in template["Resources"].items():
        if resource["Type"] in made_of_a_version:
            [pipeline] = [p for p in ("Reviews", "Tickets", "Topics") if name.startswith(p)]
            assert resource["Condition"] == f"{pipeline}Approved", name
    parameters = template["Parameters"]
    for name in ("TicketsVersion", "TicketsModelData", "ReviewsVersion", "ReviewsModelData"):
        assert (parameters[name]["Type"], parameters[name]["Default"]) == ("String", "none")


def test_the_record_waits_for_the_proof_and_the_model_for_its_roles_policy(templates):
    found = templates("dev")["inference"]["Resources"]
    waits = {id: of(found, id)["DependsOn"] for id in ("ReviewsRecord", "ReviewsModel")}
    assert [name[:-8] for name in waits["ReviewsRecord"]] == ["ReviewsSmokeTest"]
    assert [name[:-8] for name in waits["ReviewsModel"]] == ["ReviewsRoleDefaultPolicy"]


def test_the_record_says_what_the_batch_and_the_api_need(templates, text_of):
    record = of(templates("dev")["inference"]["Resources"], "ReviewsRecord")["Properties"]
    assert record["Name"] == "/lectern/dev/models/reviews"
    assert json.loads(text_of(record["Value"])) == {
        "model_name": "<ReviewsModelD0D1589F.ModelName>",
        "version": "<ReviewsVersion>",
        "model_data": "<ReviewsModelData>",
        "endpoint": "lectern-dev-reviews",
        "task": "text-classification",
        "batch": {
            "resources": {
                "InstanceType": "ml.g5.xlarge",
                "InstanceCount": 1,
                "TransformAmiVersion": "al2-ami-sagemaker-batch-gpu-535",
            },
            "max_payload_mb": 1,
            "max_concurrent_requests": 1,
        },
    }


def test_the_container_knows_its_task_and_its_version(resources):
    model = of(resources("dev", "inference", "AWS::SageMaker::Model"), "ReviewsModel")
    assert model["Properties"]["PrimaryContainer"]["Environment"] == {
        "HF_TASK": "text-classification",
        "LECTERN_MODEL": "reviews",
        "LECTERN_MODEL_VERSION": {"Ref": "ReviewsVersion"},
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    }


def test_an_onnx_engine_is_told_to_the_container(resources):
    model = of(resources("dev", "inference", "AWS::SageMaker::Model"), "ReviewsServerlessModel")
    assert model["Properties"]["PrimaryContainer"]["Environment"]["LECTERN_ENGINE"] == "onnx"


def test_a_pipeline_packages_what_an_onnx_engine_serves_and_nothing_else(resources, text_of):
    for stage, name, packages in (
        ("dev", "ReviewsPipeline", True),
        ("local", "TicketsPipeline", True),
        ("local", "ReviewsPipeline", False),
        ("prod", "ReviewsPipeline", False),
    ):
        pipeline = of(resources(stage, "training", "AWS::SageMaker::Pipeline"), name)
        body = text_of(pipeline["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"])
        steps = [step["Name"] for step in json.loads(body)["Steps"]]
        assert ("Package" in steps) == packages, (stage, name)


def test_a_definition_is_about_its_own_pipeline_and_names_the_stages_function(resources, text_of):
    functions = resources("local", "training", "AWS::Lambda::Function")
    [function] = [name for name in functions if name.startswith("Approved")]
    pipelines = resources("local", "training", "AWS::SageMaker::Pipeline")
    for name in ("Tickets", "Reviews", "Topics", "Tuned"):
        pipeline = of(pipelines, f"{name}Pipeline")["Properties"]
        body = text_of(pipeline["PipelineDefinition"]["PipelineDefinitionBody"])
        document = json.loads(body)
        steps = {step["Name"]: step for step in document["Steps"]}
        assert ("Tune" in steps, "Train" in steps) == (name == "Tuned", name != "Tuned")
        assert steps["Approved"]["FunctionArn"] == f"<{function}.Arn>"
        assert steps["Approved"]["Arguments"]["group"] == f"lectern-local-{name.lower()}"
        # An archive of scripts: an object without a model.
        [start] = [p for p in document["Parameters"] if p["Name"] == "StartFromUri"]
        assert start["DefaultValue"] == steps["Approved"]["Arguments"]["otherwise"]
        assert start["DefaultValue"].startswith("s3://cdk-hnb659fds-assets-")
        assert start["DefaultValue"].endswith(".zip")


def test_a_pipeline_that_no_model_serves_is_trained_and_released_to_nobody(templates):
    listed = json.loads(templates("local")["training"]["Outputs"]["Pipelines"]["Value"])
    assert list(listed) == ["tickets", "reviews", "topics", "tuned"]
    assert not [name for name in templates("local")["inference"]["Parameters"] if "Tuned" in name]


def test_the_outputs_name_every_pipeline_and_model(templates):
    outputs = {name: template.get("Outputs", {}) for name, template in templates("local").items()}
    assert json.loads(outputs["training"]["Pipelines"]["Value"])["tickets"] == {
        "pipeline": "lectern-local-tickets",
        "group": "lectern-local-tickets",
    }
    assert json.loads(outputs["inference"]["Models"]["Value"])["tickets-serverless"] == {
        "task": "text-classification",
        "endpoint": "lectern-local-tickets-serverless",
        "kind": "serverless",
        "pipeline": "tickets",
        "parameter": "/lectern/local/models/tickets-serverless",
    }
    of_api = {"ApiUrl", "ApiId", "ApiStage", "ApiAuth", "ApiKeyId", "ApiKeyIds"}
    assert of_api == set(outputs["api"])
    assert {"DataBucketName", "ArtifactBucketName"} <= set(outputs["storage"])
    assert "StateMachineArn" in outputs["batch"]


def test_the_release_function_knows_each_groups_parameters(templates):
    found = templates("local")["release"]["Resources"]
    [function] = [r for r in found.values() if r["Type"] == "AWS::Lambda::Function"]
    variables = function["Properties"]["Environment"]["Variables"]
    assert variables["STACK_NAME"] == "lectern-local-inference"
    assert json.loads(variables["PIPELINES"]) == {
        "lectern-local-tickets": {"version": "TicketsVersion", "model_data": "TicketsModelData"},
        "lectern-local-reviews": {"version": "ReviewsVersion", "model_data": "ReviewsModelData"},
        "lectern-local-topics": {"version": "TopicsVersion", "model_data": "TopicsModelData"},
    }
    assert set(json.loads(variables["PIPELINES"])["lectern-local-tickets"].values()) <= set(
        templates("local")["inference"]["Parameters"]
    )


def test_approvals_are_tried_again_for_longer_than_an_endpoints_update(resources):
    queues = resources("dev", "release", "AWS::SQS::Queue").values()
    [queue] = [queue["Properties"] for queue in queues if "RedrivePolicy" in queue["Properties"]]
    [function] = resources("dev", "release", "AWS::Lambda::Function").values()
    assert queue["VisibilityTimeout"] > function["Properties"]["Timeout"]
    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] >= 3600
    assert all(queue["Properties"]["SqsManagedSseEnabled"] for queue in queues)


def test_the_state_machine_logs_everything_and_is_traced(resources):
    [machine] = resources("dev", "batch", "AWS::StepFunctions::StateMachine").values()
    assert machine["Properties"]["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["Properties"]["TracingConfiguration"] == {"Enabled": True}


def routes(templates, stage):
    found = templates(stage)["api"]["Resources"]

    def path(reference):
        if "Fn::GetAtt" in reference:
            return ""
        properties = found[reference["Ref"]]["Properties"]
        return f"{path(properties['ParentId'])}/{properties['PathPart']}"

    return {
        f"{r['Properties']['HttpMethod']} {path(r['Properties']['ResourceId']) or '/'}": r[
            "Properties"
        ]
        for r in found.values()
        if r["Type"] == "AWS::ApiGateway::Method"
    }


def test_every_route_but_health_and_the_pages_takes_a_key(templates):
    methods = routes(templates, "dev")
    keyed = {route: method.get("ApiKeyRequired", False) for route, method in methods.items()}
    assert keyed == {
        "GET /": False,
        "GET /v1/docs": False,
        "GET /v1/openapi.json": False,
        "GET /v1/health": False,
        "GET /v1/models": True,
        "GET /v1/models/{model}": True,
        "POST /v1/models/{model}": True,
        "POST /v1/models/{model}/batches": True,
        "GET /v1/batches": True,
        "GET /v1/batches/{batch}": True,
        "DELETE /v1/batches/{batch}": True,
        "GET /v1/results/{result}": True,
        "POST /hf/models/{model}": True,
    }
    for route, method in methods.items():
        assert method["AuthorizationType"] == ("CUSTOM" if keyed[route] else "NONE"), route


def test_every_body_is_validated_at_the_gateway(templates):
    for route, method in routes(templates, "dev").items():
        assert method["RequestValidatorId"]
        assert ("RequestModels" in method) == route.startswith("POST"), route


def test_the_gateways_own_refusals_are_problem_documents(resources):
    answers = {
        one["Properties"]["ResponseType"]: one["Properties"]
        for one in resources("dev", "api", "AWS::ApiGateway::GatewayResponse").values()
    }
    expected = {
        "UNAUTHORIZED": 401,
        "ACCESS_DENIED": 403,
        "WAF_FILTERED": 403,
        "INVALID_API_KEY": 403,
        "MISSING_AUTHENTICATION_TOKEN": 404,
        "BAD_REQUEST_BODY": 400,
        "BAD_REQUEST_PARAMETERS": 400,
        "REQUEST_TOO_LARGE": 413,
        "THROTTLED": 429,
        "QUOTA_EXCEEDED": 429,
        "INTEGRATION_TIMEOUT": 504,
        "DEFAULT_4XX": None,
        "DEFAULT_5XX": None,
    }
    assert set(answers) == set(expected)
    for kind, status in expected.items():
        header = answers[kind]["ResponseParameters"]["gatewayresponse.header.Content-Type"]
        document = json.loads(answers[kind]["ResponseTemplates"]["application/json"])
        assert header == "'application/problem+json'"
        assert document.get("status") == status
        assert answers[kind].get("StatusCode") == (str(status) if status else None)
        assert {"type", "title", "detail", "errors", "request_id"} <= set(document)


def test_a_deployment_holds_every_method_and_refusal(templates):
    found = templates("dev")["api"]["Resources"]
    [deployment] = [r for r in found.values() if r["Type"] == "AWS::ApiGateway::Deployment"]
    captured = {"AWS::ApiGateway::Method", "AWS::ApiGateway::GatewayResponse"}
    expected = {name for name, r in found.items() if r["Type"] in captured}
    assert expected <= set(deployment["DependsOn"])


def test_the_usage_plan_is_the_stages(resources):
    [plan] = resources("dev", "api", "AWS::ApiGateway::UsagePlan").values()
    assert plan["Properties"]["Throttle"] == {"BurstLimit": 40, "RateLimit": 20}
    assert plan["Properties"]["Quota"] == {"Limit": 100000, "Period": "MONTH"}


def test_each_waits_a_little_less_than_the_one_that_waits_for_it(resources):
    functions = resources("dev", "api", "AWS::Lambda::Function")
    [function] = [found for name, found in functions.items() if name.startswith("Front")]
    read = float(function["Properties"]["Environment"]["Variables"]["READ_TIMEOUT_SECONDS"])
    assert read < function["Properties"]["Timeout"] < 29


@pytest.mark.parametrize("stage", STAGES)
def test_logs_are_kept_as_long_as_the_stage_says(templates, stage):
    days = {"local": 7, "dev": 30, "prod": 365}[stage]
    groups = [
        resource["Properties"]["RetentionInDays"]
        for template in templates(stage).values()
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Logs::LogGroup"
    ]
    assert set(groups) == {days}
    assert len(groups) == 9


def test_templates_name_no_account(templates):
    for template in templates("prod").values():
        accounts = set(re.findall(r"\b\d{12}\b", json.dumps(template)))
        assert accounts <= {"763104351884"}, "the images' account is the only one"
