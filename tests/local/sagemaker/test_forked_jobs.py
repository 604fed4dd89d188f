"""Jobs whose code imports torch are forked, and cannot tell but by the time it takes."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")

SHOW = """
import sys
forked = "torch" in sys.modules
import atexit, json, multiprocessing, os, pickle, random, threading, time
import beside

class Own:
    pass

def double(number):
    return 2 * number

def later():
    time.sleep(0.5)
    print("a thread's end")

def show():
    import numpy, torch
    import transformers.pipelines
    found = {
        "argv": sys.argv, "path": sys.path, "directory": os.getcwd(), "file": __file__,
        "environment": os.environ.copy(), "main": sys.modules["__main__"].Own is Own,
        "pickled": type(pickle.loads(pickle.dumps(Own()))) is Own, "beside": beside.__file__,
        "group": os.getpgid(0) == os.getpid(), "stdin": os.readlink("/proc/self/fd/0"),
        "drawn": [random.random(), numpy.random.random(), torch.rand(1).item()],
        "forked": forked,
    }
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found["doubled"] = pool.map_async(double, [1, 2]).get(20)
    with open(os.environ["SM_MODEL_DIR"] + "/found.json", "w") as file:
        json.dump(found, file)
    atexit.register(print, "the end")
    threading.Thread(target=later).start()

if __name__ == "__main__":
    show()
    never_closed = open(os.environ["SM_MODEL_DIR"] + "/never-closed.txt", "w")
    never_closed.write("whole")
"""
SETS_A_VARIABLE = "import os\nos.environ['OMP_NUM_THREADS'] = '1'\n"


def ended(lab, script, files=None, **request):
    name = lab.train(script, files={"beside.py": "", **(files or {})}, **request)
    return lab.wait("TrainingJob", name), lab.log("/aws/sagemaker/TrainingJobs", name)


def shown(lab, script=SHOW, **request):
    job, lines = ended(lab, script, HyperParameters={"rate": "2e-5"}, **request)
    assert job["TrainingJobStatus"] == "Completed", (job, lines)
    body = lab.get(job["ModelArtifacts"]["S3ModelArtifacts"])
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        found = json.load(tar.extractfile("found.json"))
        assert tar.extractfile("never-closed.txt").read() == b"whole"
    text = json.dumps(found).replace(job["TrainingJobName"], "JOB")
    return json.loads(text), lines


def test_a_forked_script_sees_what_a_started_one_sees(lab):
    forked, lines = shown(lab)
    again, _lines = shown(lab)
    started, lines_of_started = shown(lab, SETS_A_VARIABLE + SHOW)
    assert forked.pop("forked")
    assert again["forked"]
    assert not started.pop("forked")
    assert started["environment"].pop("OMP_NUM_THREADS") == "1"
    forked["environment"].pop("OMP_NUM_THREADS", None)
    drawn = forked.pop("drawn") + again["drawn"] + started.pop("drawn")
    assert len(set(drawn)) == len(drawn), "each draws numbers of its own"
    assert forked == started
    assert forked["main"]
    assert forked["pickled"]
    assert forked["doubled"] == [2, 4]
    assert forked["group"]
    assert lines == lines_of_started
    assert lines[-2:] == ["a thread's end", "the end"]


@pytest.mark.parametrize(
    "given",
    [
        {
            "script": SHOW.replace(
                "import numpy, torch\n    import transformers.pipelines", "import numpy"
            ).replace("torch.rand(1).item()", "2")
        },
        {"script": SHOW, "Environment": {"TORCH_LOGS": "+dynamo"}},
        {"script": SHOW, "files": {"pickletools.py": "OWN = True"}},
    ],
    ids=["imports no torch", "has a variable that torch reads", "hides a module of Python's"],
)
def test_others_are_started(lab, given):
    assert not shown(lab, **given)[0]["forked"]


@pytest.mark.parametrize("before", ["import torch\n", ""])
@pytest.mark.parametrize(
    ("ending", "status", "reason"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('the rows are gone')", 1, "the rows are gone"),
        ("raise SystemExit", 0, ""),
        ("sys.stdout.close()", 0, ""),
        (
            "def fail():\n    raise ValueError('labels differ')\nfail()",
            1,
            "ValueError: labels differ",
        ),
    ],
)
def test_each_end_is_that_of_a_started_script(lab, before, ending, status, reason):
    job, lines = ended(lab, "import sys\nprint('torch' in sys.modules)\n" + before + ending)
    assert lines[0] == str(bool(before)), "only what imports torch is forked"
    if not status:
        assert job["TrainingJobStatus"] == "Completed"
        return
    assert job["FailureReason"].endswith(f", exit code: {status}")
    assert reason in job["FailureReason"]
    assert not [line for line in lines if "runpy" in line or "fork_server" in line]
    assert [line for line in lines if "labels differ" in line] == [
        *(
            ["    raise ValueError('labels differ')", "ValueError: labels differ"]
            * ("labels" in reason)
        )
    ]


def test_a_forked_job_is_stopped(lab):
    script = "import torch, time\nprint('begun')\ntime.sleep(60)"
    name = lab.train(script, files={"beside.py": ""})
    lab.eventually(lambda: "begun" in lab.log("/aws/sagemaker/TrainingJobs", name))
    [process] = _running(name)
    assert "fork_server" in " ".join(process.parent().cmdline())
    lab.call("StopTrainingJob", {"TrainingJobName": name})
    assert lab.wait("TrainingJob", name)["TrainingJobStatus"] == "Stopped"
    assert _running(name) == []


def _running(name):
    return [each for each in psutil.Process().children(recursive=True) if name in _folder(each)]


def _folder(process):
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def test_a_module_is_run_out_of_a_zip(lab):
    source = (
        "import os, sys\n"
        "print('torch' in sys.modules, __name__, sys.argv[1:], os.path.basename(__file__))\n"
        "import torch\n"
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("judge.py", source)
    lab.put("zipped/scripts.zip", archive.getvalue())
    request = lab.processing("", inputs=[("scripts", lab.uri("zipped"))])
    request["AppSpecification"]["ContainerEntrypoint"] = ["python3", "-m", "judge"]
    request["AppSpecification"]["ContainerArguments"] = ["--all", "2"]
    request["Environment"] = {"PYTHONPATH": "/opt/ml/processing/scripts/scripts.zip"}
    lab.call("CreateProcessingJob", {"ProcessingJobName": "zipped", **request})
    assert lab.wait("ProcessingJob", "zipped")["ProcessingJobStatus"] == "Completed"
    lines = lab.log("/aws/sagemaker/ProcessingJobs", "zipped")
    assert lines == ["True __main__ ['--all', '2'] judge.py"]
