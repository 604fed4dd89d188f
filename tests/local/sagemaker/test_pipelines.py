from __future__ import annotations

import json
import uuid

import pytest

from local.sagemaker import SageMakerError

TOKEN = "0123456789abcdef0123456789abcdef"

EVALUATE = """
import json, pathlib, sys
where, accuracy = sys.argv[1:]
pathlib.Path(where, "evaluation.json").write_text(
    json.dumps({"metrics": {"accuracy": {"value": float(accuracy)}}}))
"""
TRAIN = """
import os, pathlib, sys
print("METRIC accuracy=0.5")
pathlib.Path(os.environ["SM_MODEL_DIR"], "argv").write_text(" ".join(sys.argv[1:]))
"""


def get(path):
    return {"Get": path}


def joined(*values, on=""):
    return {"Std:Join": {"On": on, "Values": list(values)}}


def road(lab):
    """Prepare and Train, Evaluate, Gate, then Register or TooWeak."""
    output = joined("s3:/", lab.bucket, "runs", get("Execution.PipelineExecutionId"), on="/")
    prepare = lab.processing(
        "import pathlib, sys; pathlib.Path(sys.argv[1], 'rows.txt').write_text('rows')",
        [("raw", lab.put("raw/rows.txt", "raw"))],
        [("train", output)],
        ["/opt/ml/processing/train"],
    )
    evaluate = lab.processing(
        EVALUATE,
        [("model", get("Steps.Train.ModelArtifacts.S3ModelArtifacts"))],
        [("evaluation", joined(output, "evaluation", on="/"))],
        ["/opt/ml/processing/evaluation", joined(get("Parameters.Accuracy"))],
    )
    code = lab.put("code/pipeline.tar.gz", lab.archive({"train.py": TRAIN}))
    cached = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [
            {"Name": "Accuracy", "Type": "Float", "DefaultValue": 0.9},
            {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
            {"Name": "Kind", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
            {"Name": "AtLeast", "Type": "Float", "DefaultValue": 0.8},
        ],
        "Steps": [
            {"Name": "Prepare", "Type": "Processing", "Arguments": prepare, **cached},
            {
                "Name": "Train",
                "Type": "Training",
                "Arguments": {
                    "RoleArn": lab.role,
                    "AlgorithmSpecification": {
                        "TrainingImage": lab.training_image,
                        "TrainingInputMode": "File",
                        "MetricDefinitions": [
                            {"Name": "accuracy", "Regex": "METRIC accuracy=([0-9.]+)"}
                        ],
                    },
                    "HyperParameters": {
                        "sagemaker_program": "train.py",
                        "sagemaker_submit_directory": code,
                        "epochs": joined(get("Parameters.Epochs")),
                    },
                    "InputDataConfig": [
                        lab.channel(
                            "train",
                            get(
                                "Steps.Prepare.ProcessingOutputConfig"
                                ".Outputs['train'].S3Output.S3Uri"
                            ),
                        )
                    ],
                    "OutputDataConfig": {"S3OutputPath": lab.uri("models")},
                    "ResourceConfig": {
                        "InstanceType": "ml.m5.xlarge",
                        "InstanceCount": 1,
                        "VolumeSizeInGB": 10,
                    },
                    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                },
                **cached,
            },
            {
                "Name": "Evaluate",
                "Type": "Processing",
                "Arguments": evaluate,
                "PropertyFiles": [
                    {
                        "PropertyFileName": "Metrics",
                        "OutputName": "evaluation",
                        "FilePath": "evaluation.json",
                    }
                ],
            },
            {
                "Name": "Gate",
                "Type": "Condition",
                "Arguments": {
                    "Conditions": [
                        {
                            "Type": "GreaterThanOrEqualTo",
                            "LeftValue": {
                                "Std:JsonGet": {
                                    "PropertyFile": get("Steps.Evaluate.PropertyFiles.Metrics"),
                                    "Path": "metrics.accuracy.value",
                                }
                            },
                            "RightValue": get("Parameters.AtLeast"),
                        }
                    ],
                    "IfSteps": [
                        {
                            "Name": "Register",
                            "Type": "RegisterModel",
                            "Arguments": {
                                "ModelPackageGroupName": "road",
                                "InferenceSpecification": {
                                    "Containers": [
                                        {
                                            "Image": lab.inference_image,
                                            "ModelDataUrl": get(
                                                "Steps.Train.ModelArtifacts.S3ModelArtifacts"
                                            ),
                                        }
                                    ]
                                },
                            },
                        }
                    ],
                    "ElseSteps": [
                        {
                            "Name": "TooWeak",
                            "Type": "Fail",
                            "Arguments": {
                                "ErrorMessage": joined(
                                    "accuracy",
                                    get("Parameters.Accuracy"),
                                    "below",
                                    get("Parameters.AtLeast"),
                                    on=" ",
                                )
                            },
                        }
                    ],
                },
            },
        ],
    }


@pytest.fixture(scope="module")
def pipeline(lab):
    lab.call("CreateModelPackageGroup", {"ModelPackageGroupName": "road"})
    return create(lab, road(lab), "road")


def create(lab, definition, name=None):
    name = name or f"pipeline-{uuid.uuid4().hex[:8]}"
    lab.call(
        "CreatePipeline",
        {
            "PipelineName": name,
            "PipelineDefinition": json.dumps(definition),
            "RoleArn": lab.role,
            "ClientRequestToken": TOKEN,
        },
    )
    return name


def start(lab, name, token=None, **parameters):
    return lab.call(
        "StartPipelineExecution",
        {
            "PipelineName": name,
            "ClientRequestToken": token or uuid.uuid4().hex,
            "PipelineParameters": [{"Name": k, "Value": v} for k, v in parameters.items()],
        },
    )["PipelineExecutionArn"]


def finished(lab, arn):
    """The execution's description and its steps by name."""

    def look():
        found = lab.call("DescribePipelineExecution", {"PipelineExecutionArn": arn})
        return found if found["PipelineExecutionStatus"] not in ("Executing", "Stopping") else None

    execution = lab.eventually(look, 40)
    listed = lab.call("ListPipelineExecutionSteps", {"PipelineExecutionArn": arn})
    return execution, {step["StepName"]: step for step in listed["PipelineExecutionSteps"]}


@pytest.fixture(scope="module")
def strong(lab, pipeline):
    arn = start(lab, pipeline, Epochs="5")
    return arn, *finished(lab, arn)


def test_a_good_model_is_registered(lab, strong):
    arn, execution, steps = strong
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    assert list(steps) == ["Register", "Gate", "Evaluate", "Train", "Prepare"]
    assert steps["Gate"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    package = lab.call(
        "DescribeModelPackage",
        {"ModelPackageName": steps["Register"]["Metadata"]["RegisterModel"]["Arn"]},
    )
    assert package["ModelPackageVersion"] == 1
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    train = steps["Train"]["Metadata"]["TrainingJob"]["Arn"].split("/")[-1]
    identity = arn.split("/")[-1]
    assert train.startswith(f"pipelines-{identity}-Train-")
    assert len(train.split("-")[-1]) == 10
    job = lab.describe("TrainingJob", train)
    assert job["HyperParameters"]["epochs"] == "5"
    (source,) = job["InputDataConfig"]
    assert source["DataSource"]["S3DataSource"]["S3Uri"] == lab.uri(f"runs/{identity}")


def test_a_weak_model_ends_in_the_fail_step_and_registers_nothing(lab, pipeline, strong):
    before = lab.call("ListModelPackages", {"ModelPackageGroupName": "road"})
    execution, steps = finished(lab, start(lab, pipeline, Epochs="5", Accuracy="0.25"))
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    assert steps["TooWeak"]["FailureReason"] == "accuracy 0.25 below 0.8"
    assert "Register" not in steps
    assert lab.call("ListModelPackages", {"ModelPackageGroupName": "road"}) == before


def test_unchanged_steps_are_taken_from_the_cache(lab, pipeline, strong):
    arn, _, first = strong
    _, again = finished(lab, start(lab, pipeline, Epochs="5"))
    for name in ("Prepare", "Train"):
        assert again[name]["CacheHitResult"] == {"SourcePipelineExecutionArn": arn}
        assert again[name]["Metadata"] == first[name]["Metadata"]
    assert "CacheHitResult" not in again["Evaluate"]
    _, other = finished(lab, start(lab, pipeline, Epochs="6"))
    assert "CacheHitResult" in other["Prepare"]
    assert "CacheHitResult" not in other["Train"]


def test_executions_and_steps_put_events(lab, strong):
    arn = strong[0]
    prefix = "SageMaker Model Building Pipeline Execution"
    ours = [
        (kind, detail)
        for kind, detail, _ in lab.platform.events
        if detail.get("pipelineExecutionArn") == arn
    ]
    runs = [
        detail["currentPipelineExecutionStatus"]
        for kind, detail in ours
        if kind == f"{prefix} Status Change"
    ]
    assert runs == ["Executing", "Succeeded"]
    gate = [
        (detail["currentStepStatus"], detail["metadata"])
        for kind, detail in ours
        if kind == f"{prefix} Step Status Change" and detail["stepName"] == "Gate"
    ]
    assert gate == [("Executing", {}), ("Succeeded", {"condition": {"outcome": "True"}})]


def test_the_same_token_starts_one_execution(lab, pipeline, strong):
    first = start(lab, pipeline, TOKEN)
    assert start(lab, pipeline, TOKEN) == first
    finished(lab, first)


def test_parameters_and_definition_of_an_execution_can_be_read(lab, strong):
    arn = strong[0]
    listed = lab.call("ListPipelineParametersForExecution", {"PipelineExecutionArn": arn})
    assert {"Name": "Epochs", "Value": "5"} in listed["PipelineParameters"]
    assert {"Name": "AtLeast", "Value": "0.8"} in listed["PipelineParameters"]
    found = lab.call("DescribePipelineDefinitionForExecution", {"PipelineExecutionArn": arn})
    assert json.loads(found["PipelineDefinition"]) == road(lab)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"Epoch": "3"}, r"Unknown parameters: \['Epoch'\]"),
        ({"Epochs": "many"}, "'many' is not of type Integer"),
        ({"Kind": "c"}, r"'c' is not one of \['a', 'b'\]"),
    ],
)
def test_wrong_parameters_start_nothing(lab, pipeline, parameters, words):
    with pytest.raises(SageMakerError, match=words):
        start(lab, pipeline, **parameters)


def test_a_parameter_without_default_must_be_given(lab):
    definition = one_step(lab)
    definition["Parameters"] = [{"Name": "Data", "Type": "String"}]
    with pytest.raises(SageMakerError, match=r"Parameters \['Data'\] have no default value"):
        start(lab, create(lab, definition))


def one_step(lab, script="", **step):
    return {
        "Version": "2020-12-01",
        "Steps": [
            {
                "Name": "Only",
                "Type": "Processing",
                "Arguments": lab.processing(script),
                **step,
            }
        ],
    }


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"Type": "Callback"}, "type 'Callback' is not implemented by the local SageMaker"),
        ({"Type": "Lambda"}, "FunctionArn is missing"),
        (
            {
                "Type": "Lambda",
                "FunctionArn": "arn",
                "OutputParameters": [{"OutputName": "x", "OutputType": "Text"}],
            },
            "an OutputType of String, Integer, Boolean, Float",
        ),
        (
            {"Type": "Lambda", "FunctionArn": {"Get": "Parameters.Nope"}},
            "cannot resolve 'Parameters.Nope'",
        ),
        ({"Arguments": {"x": {"Std:Split": {}}}}, "function 'Std:Split' is not implemented"),
        ({"Arguments": {"x": {"Get": "Parameters.Nope"}}}, "cannot resolve 'Parameters.Nope'"),
        ({"Arguments": {"x": {"Get": "Steps.Nope.Y"}}}, "cannot resolve 'Steps.Nope.Y'"),
        ({"DependsOn": ["Only"]}, "in a circle: Only -> Only"),
        ({"DependsOn": ["Nope"]}, "'Nope', which is not a step"),
        ({"CacheConfig": {"Enabled": True, "ExpireAfter": "30d"}}, "not an ISO 8601 duration"),
        (
            {"Type": "Condition", "Arguments": {"Conditions": [{"Type": "Matches"}]}},
            "condition 'Matches' is not implemented",
        ),
    ],
)
def test_a_definition_that_would_not_run_is_refused(lab, step, words):
    with pytest.raises(SageMakerError, match=words) as refusal:
        create(lab, one_step(lab, **step))
    assert refusal.value.code == "ValidationException"


@pytest.mark.parametrize(
    "definition",
    [
        {"Steps": ["x"]},
        {"Steps": [], "Parameters": 5},
        {"Steps": [], "Parameters": [1]},
        {"Steps": [{"DependsOn": "Other"}]},
        {"Steps": [{"DependsOn": [{}]}]},
        {"Steps": [{"CacheConfig": "always"}]},
        {"Steps": [{"CacheConfig": {"Enabled": True, "ExpireAfter": 5}}]},
        {"Steps": [{"PropertyFiles": [{}]}]},
        {"Steps": [{"PropertyFiles": ["x"]}]},
        {"Steps": [{"Arguments": {"x": {"Get": 5}}}]},
        {"Steps": [{"Arguments": {"x": {"Std:Join": {"On": "", "Values": "abc"}}}}]},
        {"Steps": [{"Type": "Condition", "Arguments": {"Conditions": "yes"}}]},
        {
            "Steps": [
                {
                    "Type": "Condition",
                    "Arguments": {
                        "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}],
                        "IfSteps": "x",
                    },
                }
            ]
        },
    ],
)
def test_a_definition_of_another_shape_is_refused_not_a_server_error(lab, definition):
    steps = [
        {"Name": "Only", "Type": "Processing", "Arguments": {}, **step}
        if isinstance(step, dict)
        else step
        for step in definition["Steps"]
    ]
    with pytest.raises(SageMakerError) as refusal:
        create(lab, {"Version": "2020-12-01", **definition, "Steps": steps})
    assert refusal.value.code == "ValidationException"


def test_a_failing_job_fails_its_step_with_the_jobs_reason(lab):
    execution, steps = finished(lab, start(lab, create(lab, one_step(lab, "raise SystemExit(4)"))))
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert steps["Only"]["FailureReason"].endswith("exit code: 4")


def test_a_request_that_sagemaker_refuses_fails_its_step(lab):
    definition = one_step(lab)
    definition["Steps"][0]["Arguments"]["AppSpecification"]["ImageUri"] = "alpine:3"
    _, steps = finished(lab, start(lab, create(lab, definition)))
    reason = steps["Only"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateProcessingJob.")
    assert "alpine:3" in reason


def test_independent_steps_run_at_the_same_time(lab):
    script = (
        "import pathlib, sys, time\nme, other = map(pathlib.Path, sys.argv[1:])\nme.touch()\n"
        "deadline = time.time() + 15\n"
        "while not other.exists():\n"
        "    assert time.time() < deadline, 'alone'\n    time.sleep(0.05)\n"
    )
    root = lab.platform.state_dir
    steps = [
        {
            "Name": name,
            "Type": "Processing",
            "Arguments": lab.processing(script, arguments=[f"{root}/{name}", f"{root}/{other}"]),
        }
        for name, other in (("one", "two"), ("two", "one"))
    ]
    execution, _ = finished(lab, start(lab, create(lab, {"Version": "2020-12-01", "Steps": steps})))
    assert execution["PipelineExecutionStatus"] == "Succeeded"


def test_stopping_an_execution_stops_its_job(lab):
    arn = start(lab, create(lab, one_step(lab, "import time; time.sleep(60)")))
    steps = {"PipelineExecutionArn": arn}
    lab.eventually(
        lambda: any(
            "Metadata" in step
            for step in lab.call("ListPipelineExecutionSteps", steps)["PipelineExecutionSteps"]
        )
    )
    lab.call("StopPipelineExecution", {**steps, "ClientRequestToken": TOKEN})
    execution, steps = finished(lab, arn)
    assert execution["PipelineExecutionStatus"] == "Stopped"
    assert steps["Only"]["StepStatus"] == "Stopped"
    job = steps["Only"]["Metadata"]["ProcessingJob"]["Arn"].split("/")[-1]
    assert lab.describe("ProcessingJob", job)["ProcessingJobStatus"] == "Stopped"


def test_pipelines_are_updated_listed_and_deleted(lab):
    name = create(lab, one_step(lab))
    with pytest.raises(SageMakerError, match="Pipeline names must be unique"):
        lab.call(
            "CreatePipeline",
            {
                "PipelineName": name,
                "PipelineDefinition": json.dumps(one_step(lab)),
                "RoleArn": lab.role,
                "ClientRequestToken": TOKEN[::-1],
            },
        )
    changed = json.dumps(one_step(lab, DisplayName="Changed"))
    lab.call("UpdatePipeline", {"PipelineName": name, "PipelineDefinition": changed})
    assert lab.describe("Pipeline", name)["PipelineDefinition"] == changed
    listed = lab.call("ListPipelines", {"PipelineNamePrefix": name})["PipelineSummaries"]
    assert [item["PipelineName"] for item in listed] == [name]
    lab.call("DeletePipeline", {"PipelineName": name, "ClientRequestToken": TOKEN})
    with pytest.raises(SageMakerError, match="does not exist") as missing:
        lab.describe("Pipeline", name)
    assert missing.value.code == "ResourceNotFound"


def test_a_definition_can_come_from_s3(lab):
    lab.put("definitions/one.json", json.dumps(one_step(lab)))
    lab.call(
        "CreatePipeline",
        {
            "PipelineName": "from-s3",
            "PipelineDefinitionS3Location": {
                "Bucket": lab.bucket,
                "ObjectKey": "definitions/one.json",
            },
            "RoleArn": lab.role,
            "ClientRequestToken": TOKEN,
        },
    )
    execution, _ = finished(lab, start(lab, "from-s3"))
    assert execution["PipelineExecutionStatus"] == "Succeeded"
