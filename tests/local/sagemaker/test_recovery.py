from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from local.processes.children import Children
from local.sagemaker import SageMaker

CHECKOUT = Path(__file__).resolve().parents[3]

SERVER = """
import importlib.util, json, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("lab_module", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
lab = module.Lab(sys.argv[2], Path(sys.argv[3]))
light = json.loads(sys.argv[4])
artifact = lab.put("m.tar.gz", lab.archive({"says": "still here"}))
lab.config("config", lab.model("model", artifact, light))
assert lab.endpoint("lives-on", "config")["EndpointStatus"] == "InService"
served = json.loads(lab.sagemaker.invoke("lives-on", b"who", {}).body)["pid"]
lab.train(
    "import os, time\\nprint('pid', os.getpid(), flush=True)\\ntime.sleep(120)", name="interrupted"
)
lab.tune("cut-short", strategy="Grid", jobs=None, parallel=1, static={"pause": "60"},
    ranges={"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.9", "0.8"]}]})
(tuned,) = lab.eventually(lambda: lab.tuned("cut-short"))
log = lab.platform.state_dir / "sagemaker/jobs/training" / tuned["TrainingJobName"] / "log.txt"
lab.eventually(lambda: log.exists() and "METRIC" in log.read_text())
definition = {
    "Version": "2020-12-01",
    "Steps": [{"Name": "Only", "Type": "Processing",
               "Arguments": lab.processing("import time; time.sleep(120)")}],
}
lab.call("CreatePipeline", {"PipelineName": "road", "RoleArn": lab.role,
    "PipelineDefinition": json.dumps(definition), "ClientRequestToken": "t" * 32})
arn = lab.call("StartPipelineExecution",
    {"PipelineName": "road", "ClientRequestToken": "s" * 32})["PipelineExecutionArn"]
log = lab.platform.state_dir / "sagemaker/jobs/training/interrupted/log.txt"
line = lab.eventually(lambda: log.exists() and log.read_text().strip())
step = {"PipelineExecutionArn": arn}
lab.eventually(lambda: any("Metadata" in s for s in
    lab.call("ListPipelineExecutionSteps", step)["PipelineExecutionSteps"]))
print(json.dumps({"pids": [served, int(line.split()[1])], "execution": arn}), flush=True)
time.sleep(120)
"""


@pytest.fixture(scope="module")
def killed(ministack_url, light, tmp_path_factory):
    """What a server had running when it was killed, and its state directory."""
    state = tmp_path_factory.mktemp("killed")
    here = str(Path(__file__).with_name("conftest.py"))
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, here, ministack_url, str(state), json.dumps(light)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(server.stdout.readline())
    assert all(psutil.pid_exists(pid) for pid in found["pids"])
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    return found, state


@pytest.fixture(scope="module")
def back(lab, killed):
    """A new server over the killed one's state."""
    platform = type(lab.platform)(lab.platform.endpoint_url, killed[1])
    sagemaker = SageMaker(platform)
    sagemaker.recover()
    yield sagemaker, platform
    sagemaker.stop()


def test_children_end_with_a_killed_server(lab, killed):
    for pid in killed[0]["pids"]:
        lab.eventually(lambda pid=pid: not psutil.pid_exists(pid), 5)


def test_interrupted_jobs_and_executions_are_failed_with_a_reason(killed, back):
    sagemaker, platform = back
    job = sagemaker.call("DescribeTrainingJob", {"TrainingJobName": "interrupted"})
    assert job["TrainingJobStatus"] == "Failed"
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Failed"
    reason = "InternalServerError: the local AWS stopped while this job ran"
    assert job["FailureReason"] == reason
    arn = {"PipelineExecutionArn": killed[0]["execution"]}
    execution = sagemaker.call("DescribePipelineExecution", arn)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "the local AWS stopped" in execution["FailureReason"]
    (step,) = sagemaker.call("ListPipelineExecutionSteps", arn)["PipelineExecutionSteps"]
    assert step["StepStatus"] == "Failed"
    tuning = {"HyperParameterTuningJobName": "cut-short"}
    tuned = sagemaker.call("DescribeHyperParameterTuningJob", tuning)
    assert (tuned["HyperParameterTuningJobStatus"], tuned["FailureReason"]) == ("Failed", reason)
    assert tuned["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert tuned["TrainingJobStatusCounters"]["InProgress"] == 0
    told = [detail.get("TrainingJobStatus") for _, detail, _ in platform.events]
    assert "Failed" in told


def test_an_endpoint_that_was_in_service_answers_again(back):
    sagemaker, _ = back
    found = sagemaker.call("DescribeEndpoint", {"EndpointName": "lives-on"})
    assert found["EndpointStatus"] == "InService"
    assert sagemaker.invoke("lives-on", b"hello", {}).body == b"still here:hello"


def test_stopping_leaves_no_process_and_a_reason_in_the_job(lab, killed, light):
    state = killed[1].with_name("stopped")
    other = type(lab)(lab.platform.endpoint_url, state)
    name = other.train("import time; time.sleep(120)")
    log = state / "sagemaker/jobs/training" / name / "log.txt"
    lab.eventually(log.exists)
    lab.eventually(lambda: list((state / "sagemaker/processes").glob("*.json")))
    (pid_file,) = (state / "sagemaker/processes").glob("*.json")
    pid = json.loads(pid_file.read_text())["pid"]
    other.sagemaker.stop()
    assert not psutil.pid_exists(pid)
    record = state / "sagemaker/records/TrainingJob" / f"{name}.json"
    lab.eventually(
        lambda: json.loads(record.read_text())["record"]["TrainingJobStatus"] == "Failed"
    )


def test_the_sweep_ends_what_outlived_its_supervisor_and_nothing_else(lab, tmp_path):
    children = Children(tmp_path / "processes")
    script = textwrap.dedent("import time; print('up', flush=True); time.sleep(120)")
    lines = []
    child = children.start(
        [sys.executable, "-c", script],
        environment=dict(os.environ),
        directory=tmp_path,
        on_line=lines.append,
    )
    lab.eventually(lambda: lines)
    (pid_file,) = (tmp_path / "processes").glob("*.json")
    orphan = json.loads(pid_file.read_text())["pid"]
    child._process.kill()
    # A number that was given to another process since must not be trusted.
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(120)"], start_new_session=True
    )
    recycled = tmp_path / "processes" / "recycled.json"
    recycled.write_text(json.dumps({"pid": bystander.pid, "started": 1.0}))
    assert _lives(orphan)
    Children(tmp_path / "processes").sweep()
    lab.eventually(lambda: not _lives(orphan), 5)
    assert _lives(bystander.pid)
    bystander.kill()
    bystander.wait()
    assert list((tmp_path / "processes").iterdir()) == []


def _lives(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
