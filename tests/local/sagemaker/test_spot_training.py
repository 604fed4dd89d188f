"""Managed spot training: interruptions, checkpoints in S3, and what bounds them."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import uuid

import psutil
import pytest

from local.sagemaker import checkpoints

GOES_ON = """
import os, pathlib, sys, time
root = pathlib.Path(os.environ["SM_MODEL_DIR"]).parent
saved = root / "checkpoints"
found = sorted(path.name for path in saved.iterdir())
print("found", *found, flush=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], f"after-{len(found)}").touch()
if len(found) < 2:
    (saved / f"step-{len(found)}").write_text("x")
    print("pid", os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def quick_looks(monkeypatch):
    monkeypatch.setattr(checkpoints, "_LOOK_SECONDS", 0.1)


def spot(lab, script, runtime=60, wait=60, **request):
    return lab.train(
        script,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": runtime, "MaxWaitTimeInSeconds": wait},
        CheckpointConfig={"S3Uri": lab.uri(f"checkpoints/{uuid.uuid4().hex}")},
        **request,
    )


def said(lab, name, word, times=1):
    """The last word of each of the job's log lines that start with this one."""
    log = lab.platform.state_dir / "sagemaker/jobs/training" / name / "log.txt"

    def look():
        lines = log.read_text().splitlines() if log.exists() else []
        found = [line.split()[-1] for line in lines if line.split()[:1] == [word]]
        return found if len(found) >= times else None

    return lab.eventually(look)


def statuses(job):
    return [item["Status"] for item in job["SecondaryStatusTransitions"]]


def members(lab, job):
    body = lab.get(job["ModelArtifacts"]["S3ModelArtifacts"])
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        return tar.getnames()


def test_a_killed_spot_job_starts_anew_with_its_checkpoints_and_nothing_else(lab):
    name = spot(lab, GOES_ON)
    for attempt, number in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
        os.kill(int(said(lab, name, "pid", attempt)[-1]), number)
    job = lab.wait("TrainingJob", name)
    assert job["TrainingJobStatus"] == "Completed", job
    start = ["Starting", "Downloading", "Training"]
    assert statuses(job) == [
        *start,
        "Interrupted",
        *start,
        "Interrupted",
        *start,
        "Uploading",
        "Completed",
    ]
    assert said(lab, name, "found", 3) == ["found", "step-0", "step-1"]
    assert members(lab, job) == ["after-2"]


def test_a_killed_job_that_is_not_a_spot_job_fails(lab):
    name = lab.train("import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(60)")
    os.kill(int(said(lab, name, "pid")[0]), signal.SIGKILL)
    job = lab.wait("TrainingJob", name)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].endswith("exit code: 137")


def test_interruptions_end_with_the_time_to_wait(lab):
    kill = "import os, time\ntime.sleep(1)\nos.kill(os.getpid(), 9)"
    job = lab.wait("TrainingJob", spot(lab, kill, runtime=2, wait=2))
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert statuses(job).count("Interrupted") >= 1


def test_a_job_that_is_killed_again_and_again_fails_and_says_what_may_be(lab):
    kill = "import os\nos.kill(os.getpid(), 9)"
    job = lab.wait("TrainingJob", spot(lab, kill))
    assert job["TrainingJobStatus"] == "Failed"
    assert "killed 5 times" in job["FailureReason"]
    assert "batch_size" in job["FailureReason"]


def test_a_stopped_spot_job_is_not_interrupted(lab):
    name = spot(lab, GOES_ON)
    pid = int(said(lab, name, "pid")[0])
    lab.call("StopTrainingJob", {"TrainingJobName": name})
    os.kill(pid, signal.SIGKILL)
    job = lab.wait("TrainingJob", name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "Interrupted" not in statuses(job)


def test_an_exit_by_itself_fails_a_spot_job(lab):
    job = lab.wait("TrainingJob", spot(lab, "raise SystemExit(3)"))
    assert job["TrainingJobStatus"] == "Failed"
    assert "Interrupted" not in statuses(job)


def test_whole_checkpoints_reach_s3_while_the_job_runs(lab, quick_looks):
    script = (
        "import os, pathlib, time\n"
        "saved = pathlib.Path(os.environ['SM_MODEL_DIR']).parent / 'checkpoints'\n"
        "(saved / 'deep').mkdir()\n"
        "(saved / 'deep' / 'whole').write_text('x')\n"
        "with (saved / 'growing').open('w', buffering=1) as file:\n"
        "    while not (saved.parent / 'enough').exists():\n"
        "        file.write('line\\n')\n"
        "        time.sleep(0.01)\n"
    )
    name = spot(lab, script)
    prefix = lab.describe("TrainingJob", name)["CheckpointConfig"]["S3Uri"].split("/", 3)[3]
    lab.eventually(lambda: lab.keys(prefix))
    assert lab.keys(prefix) == [f"{prefix}/deep/whole"]
    root = lab.platform.state_dir / "sagemaker/jobs/training" / name / "opt/ml"
    (root / "enough").touch()
    assert lab.wait("TrainingJob", name)["TrainingJobStatus"] == "Completed"
    assert lab.keys(prefix) == [f"{prefix}/deep/whole", f"{prefix}/growing"]
    sizes = lab.get(lab.uri(f"{prefix}/growing")).splitlines()
    assert set(sizes) == {b"line"}


WORKER = """
import os, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("rank", os.environ["RANK"], os.environ["WORLD_SIZE"], os.environ["SM_NUM_GPUS"],
      given["--epochs"], flush=True)
print(f"parent {os.getppid()}\\npid {os.getpid()}", flush=True)
time.sleep(60)
"""

TORCHRUN = {"sagemaker_torch_distributed_enabled": "true", "epochs": "3"}


def test_torchrun_starts_two_processes_and_takes_them_along_when_it_is_killed(lab):
    name = lab.train(WORKER, HyperParameters=TORCHRUN)
    workers = [int(pid) for pid in said(lab, name, "pid", 2)]
    (parent,) = {int(pid) for pid in said(lab, name, "parent", 2)}
    os.kill(parent, signal.SIGKILL)
    lab.eventually(lambda: not any(_lives(pid) for pid in workers), 5)
    assert lab.wait("TrainingJob", name)["FailureReason"].endswith("exit code: 137")
    log = lab.platform.state_dir / "sagemaker/jobs/training" / name / "log.txt"
    lines = [line for line in log.read_text().splitlines() if line.startswith("rank")]
    assert sorted(lines) == ["rank 0 2 0 3", "rank 1 2 0 3"]


def test_torchrun_starts_python_scripts_only(lab):
    name = lab.train(
        "",
        files={"train.sh": "exit 0"},
        HyperParameters={**TORCHRUN, "sagemaker_program": "train.sh"},
    )
    reason = lab.wait("TrainingJob", name)["FailureReason"]
    assert "'train.sh' must be a Python script (.py)" in reason


def _lives(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
