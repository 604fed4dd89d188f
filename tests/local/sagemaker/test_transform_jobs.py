from __future__ import annotations

import pytest

from local.sagemaker import SageMakerError


@pytest.fixture(scope="module")
def model(lab, light):
    artifact = lab.put("models/batch.tar.gz", lab.archive({"says": "it"}))
    return lab.model("batch", artifact, light)


def transform(lab, name, source, **request):
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}}
    lab.call(
        "CreateTransformJob",
        {
            "TransformJobName": name,
            "ModelName": "batch",
            "TransformInput": {
                "DataSource": data,
                "ContentType": "application/jsonlines",
                "SplitType": "Line",
            },
            "TransformOutput": {"S3OutputPath": lab.uri(f"out/{name}"), "AssembleWith": "Line"},
            "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
            **request,
        },
    )
    return lab.wait("TransformJob", name)


def output(lab, name):
    return {
        key.removeprefix(f"out/{name}/"): lab.get(lab.uri(key)).decode()
        for key in lab.keys(f"out/{name}/")
    }


def test_single_records_are_sent_one_by_one(lab, model):
    lab.put("batch/single/a.jsonl", "1\n2\n3\n")
    job = transform(lab, "single", lab.uri("batch/single/"), BatchStrategy="SingleRecord")
    assert job["TransformJobStatus"] == "Completed", job
    assert output(lab, "single") == {"a.jsonl.out": "it:1|\nit:2|\nit:3|\n"}


def test_multi_record_payloads_keep_paths_and_fill_the_limit(lab, model):
    line = "x" * 600_000 + "\n"
    lab.put("batch/multi/deep/b.jsonl", line * 4)
    source = lab.uri("batch/multi")
    job = transform(lab, "multi", source, BatchStrategy="MultiRecord", MaxPayloadInMB=2)
    assert job["TransformJobStatus"] == "Completed", job
    (text,) = output(lab, "multi").values()
    assert list(output(lab, "multi")) == ["deep/b.jsonl.out"]
    assert [answer.count("|") for answer in text.splitlines()] == [3, 1]


def test_an_exact_object_unsplit_is_one_request(lab, model):
    source = lab.put("batch/exact.json", "1\n2\n")
    job = transform(
        lab,
        "exact",
        source,
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}}
        },
        TransformOutput={"S3OutputPath": lab.uri("out/exact")},
    )
    assert job["TransformJobStatus"] == "Completed", job
    assert output(lab, "exact") == {"exact.json.out": "it:1|2|"}


def test_a_failing_file_fails_the_job_and_keeps_the_others(lab, model):
    lab.put("batch/mixed/a.jsonl", "fine\n")
    lab.put("batch/mixed/b.jsonl", "bad\n")
    lab.put("batch/mixed/c.jsonl", "fine too\n")
    job = transform(lab, "mixed", lab.uri("batch/mixed/"))
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: See job logs for more information.")
    assert "b.jsonl: Bad HTTP status received from algorithm: 400" in job["FailureReason"]
    assert sorted(output(lab, "mixed")) == ["a.jsonl.out", "c.jsonl.out"]


def test_no_input_and_no_model_data_fail_the_job(lab, model, light):
    job = transform(lab, "empty", lab.uri("batch/nothing/"))
    assert "No S3 objects found under S3 URL" in job["FailureReason"]
    lab.model("hollow", lab.uri("models/none.tar.gz"), light)
    lab.put("batch/hollow/a", "1")
    job = transform(lab, "hollow", lab.uri("batch/hollow/"), ModelName="hollow")
    assert "Could not find model data at" in job["FailureReason"]


def test_a_stopped_job_ends_during_a_request(lab, model):
    source = lab.put("batch/long.jsonl", "slow\nslow\nslow\nslow\nslow\n")
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}}
    lab.call(
        "CreateTransformJob",
        {
            "TransformJobName": "long",
            "ModelName": "batch",
            "BatchStrategy": "SingleRecord",
            "TransformInput": {"DataSource": data, "SplitType": "Line"},
            "TransformOutput": {"S3OutputPath": lab.uri("out/long")},
            "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        },
    )
    lab.eventually(lambda: "TransformStartTime" in lab.describe("TransformJob", "long"))
    lab.call("StopTransformJob", {"TransformJobName": "long"})
    assert lab.wait("TransformJob", "long", 8)["TransformJobStatus"] == "Stopped"
    assert output(lab, "long") == {}


def test_what_is_not_run_here_is_refused(lab, model):
    with pytest.raises(SageMakerError, match=r"DataProcessing.JoinSource 'Input' is not impl"):
        transform(lab, "joined", lab.uri("x"), DataProcessing={"JoinSource": "Input"})
    with pytest.raises(SageMakerError, match="Could not find model"):
        transform(lab, "unmodelled", lab.uri("x"), ModelName="nobody")
