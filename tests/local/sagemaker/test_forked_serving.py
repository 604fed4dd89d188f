from __future__ import annotations

import json
import os
import sys

import psutil
import pytest

from local.sagemaker import SageMakerError

# Tells what its process looks like from within.
HANDLER = """
import json, os, pickletools, random, sys
import numpy
def model_fn(model_dir, context=None):
    return numpy.random.random(), random.random()
def transform_fn(model, data, content_type, accept, context=None):
    if json.loads(data) == "break":
        os.kill(os.getpid(), 9)
    print("asked in", os.environ.get("LECTERN_MODEL"))
    return json.dumps({
        "pid": os.getpid(), "group": os.getpgid(0), "directory": os.getcwd(), "argv": sys.argv,
        "stdin": os.readlink("/proc/self/fd/0"), "environment": dict(os.environ),
        "descriptors": [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                        if os.path.lexists(f"/proc/self/fd/{n}")],
        "path": sys.path, "drawn": model, "own": hasattr(pickletools, "OWN"),
    })
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


@pytest.fixture(scope="module")
def serving(lab, ministack_url, tmp_path_factory):
    """Starts endpoints by name, on a SageMaker of its own that the last test stops."""
    lab = type(lab)(ministack_url, tmp_path_factory.mktemp("serving"))

    def start(name, variables, files=None):
        code = {"code/inference.py": HANDLER, **(files or {})}
        data = lab.put(f"{name}.tar.gz", lab.archive(code))
        lab.config(name, lab.model(name, data, {"HF_TASK": "custom", **variables}))
        assert lab.endpoint(name, name)["EndpointStatus"] == "InService"
        return ask(lab, name)

    yield lab, start
    lab.sagemaker.stop()


def ask(lab, endpoint, asked="who"):
    headers = {"Content-Type": "application/json"}
    return json.loads(lab.sagemaker.invoke(endpoint, json.dumps(asked).encode(), headers).body)


def forks(found):
    """The process that started the supervisor of this one, if that is no server."""
    parent = psutil.Process(found["pid"]).parent().parent()
    return parent if "local.processes.fork_server" in parent.cmdline() else None


def shared(found):
    """The environment, without what is each one's own."""
    own = {"LECTERN_MODEL", "OMP_NUM_THREADS", "SAGEMAKER_BASE_DIR"}
    return {name: value for name, value in found["environment"].items() if name not in own}


def paths(found):
    return [entry.replace(found["directory"], "") for entry in found["path"]]


def test_a_forked_process_looks_like_a_started_one(serving):
    lab, start = serving
    first = start("first", {"LECTERN_MODEL": "m1"})
    second = start("second", {"LECTERN_MODEL": "m2"})
    started = start("third", {"LECTERN_MODEL": "m3", "OMP_NUM_THREADS": "1"})
    assert forks(first) == forks(second)
    assert forks(first) is not None
    assert forks(started) is None

    for name, found in (("first", first), ("second", second), ("third", started)):
        assert found["group"] == found["pid"], "a session of its own"
        assert found["stdin"] == os.devnull
        assert f"/{name}/" in found["directory"]
        sockets = [each for each in found["descriptors"] if each.startswith("socket:")]
        assert len(sockets) <= 2, "the one it listens on, and this connection"
        shown = " ".join(psutil.Process(found["pid"]).cmdline())
        assert f"-m local.serving --model-dir {found['directory']}/opt/ml/model" in shown
        assert found["argv"][1] == "--model-dir"
    assert [each["environment"]["LECTERN_MODEL"] for each in (first, second)] == ["m1", "m2"]
    assert shared(first) == shared(started)
    assert paths(first) == paths(started)
    drawn = [number for found in (first, second, started) for number in found["drawn"]]
    assert len(set(drawn)) == len(drawn), "each draws numbers of its own"

    lab.eventually(lambda: "asked in m2" in lab.log("/aws/sagemaker/Endpoints/second", "All"))
    assert "asked in m2" not in lab.log("/aws/sagemaker/Endpoints/first", "All")

    with pytest.raises(SageMakerError) as died:
        ask(lab, "first", "break")
    assert "Worker died." in died.value.extra["OriginalMessage"]
    again = ask(lab, "first")
    assert again["pid"] != first["pid"]
    assert forks(again) == forks(second)


def test_modules_of_a_model_hide_those_that_are_imported_already(serving):
    _lab, start = serving
    found = start("shadows", {}, {"code/pickletools.py": "OWN = True"})
    assert found["own"]
    assert found["group"] == found["pid"]
    assert not start("shadows-nothing", {})["own"]


def test_endpoints_outlive_what_forked_them_and_others_are_started(serving):
    lab, start = serving
    forked = start("outlives", {})
    forks(forked).kill()
    assert ask(lab, "outlives")["pid"] == forked["pid"]
    assert forks(start("after-all", {})) is None


def test_all_of_them_end_with_the_server(serving):
    lab, _start = serving
    names = [found["EndpointName"] for found in lab.call("ListEndpoints", {})["Endpoints"]]
    serves = [psutil.Process(ask(lab, name)["pid"]) for name in names]
    processes = [*serves, *(process.parent() for process in serves)]
    assert len(processes) > 2
    lab.sagemaker.stop()
    _gone, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
