from __future__ import annotations

import pytest

from local.sagemaker import SageMakerError

COPY = """
import pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.txt")):
    target = pathlib.Path(sys.argv[2]) / path.relative_to(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(path.read_text().upper())
"""


def test_inputs_are_laid_out_and_outputs_uploaded(lab):
    lab.put("in/a.txt", "one")
    lab.put("in/deep/b.txt", "two")
    request = lab.processing(
        COPY,
        [("raw", lab.uri("in/"))],
        [("done", lab.uri("out"))],
        ["/opt/ml/processing/raw", "/opt/ml/processing/done"],
    )
    lab.call("CreateProcessingJob", {"ProcessingJobName": "copy", **request})
    job = lab.wait("ProcessingJob", "copy")
    assert job["ProcessingJobStatus"] == "Completed", job
    assert lab.get(lab.uri("out/a.txt")) == b"ONE"
    assert lab.get(lab.uri("out/deep/b.txt")) == b"TWO"
    states = [
        detail["ProcessingJobStatus"]
        for kind, detail, _ in lab.platform.events
        if kind == "SageMaker Processing Job State Change"
    ]
    assert states == ["InProgress", "Completed"]


def test_a_failing_process_fails_the_job_and_uploads_nothing(lab):
    name = lab.process(
        "import sys\nprint('no rows left'); sys.exit(2)",
        outputs=[("done", lab.uri("failed"))],
    )
    job = lab.wait("ProcessingJob", name)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError:")
    assert job["FailureReason"].endswith("exit code: 2")
    assert lab.log("/aws/sagemaker/ProcessingJobs", name) == ["no rows left"]
    assert lab.keys("failed") == []


def test_what_a_failing_process_wrote_to_a_continuous_output_is_kept(lab):
    script = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('row 7'); sys.exit(1)"
    request = lab.processing(
        script,
        outputs=[("report", lab.uri("report")), ("rows", lab.uri("rows"))],
        arguments=["/opt/ml/processing/report/rejects.jsonl"],
    )
    report = request["ProcessingOutputConfig"]["Outputs"][0]
    report["S3Output"]["S3UploadMode"] = "Continuous"
    lab.call("CreateProcessingJob", {"ProcessingJobName": "rejecting", **request})
    assert lab.wait("ProcessingJob", "rejecting")["ProcessingJobStatus"] == "Failed"
    assert [key.rpartition("/")[2] for key in lab.keys("report")] == ["rejects.jsonl"]
    assert lab.keys("rows") == []


def test_the_exit_message_is_described(lab):
    request = lab.processing(
        "import pathlib, sys\npathlib.Path(sys.argv[1]).write_text('17 rows kept')",
        arguments=["/opt/ml/output/message"],
    )
    lab.call("CreateProcessingJob", {"ProcessingJobName": "message", **request})
    assert lab.wait("ProcessingJob", "message")["ExitMessage"] == "17 rows kept"


def test_a_command_that_does_not_exist_fails_the_job(lab):
    request = lab.processing("")
    request["AppSpecification"]["ContainerEntrypoint"] = ["no-such-command"]
    lab.call("CreateProcessingJob", {"ProcessingJobName": "absent", **request})
    assert lab.wait("ProcessingJob", "absent")["FailureReason"].endswith("exit code: 127")
    (line,) = lab.log("/aws/sagemaker/ProcessingJobs", "absent")
    assert line.startswith("cannot start no-such-command")


def test_paths_outside_the_containers_tree_are_refused(lab):
    request = lab.processing("", outputs=[("done", lab.uri("out"))])
    request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["LocalPath"] = "/etc"
    with pytest.raises(SageMakerError, match="use a path under /opt/ml/processing"):
        lab.call("CreateProcessingJob", {"ProcessingJobName": "escape", **request})


def test_a_stopped_job_ends_as_stopped(lab):
    name = lab.process("import time; time.sleep(60)")
    lab.call("StopProcessingJob", {"ProcessingJobName": name})
    assert lab.wait("ProcessingJob", name)["ProcessingJobStatus"] == "Stopped"
    lab.call("DeleteProcessingJob", {"ProcessingJobName": name})
    with pytest.raises(SageMakerError, match="Could not find requested job"):
        lab.describe("ProcessingJob", name)
