from __future__ import annotations

import io
import json
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.sagemaker import SageMakerError
from local.sagemaker.containers import interpreter_directory

SHOW = """
import json, os, sys
found = {"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}
config = os.environ["SM_INPUT_CONFIG_DIR"]
for name in ("hyperparameters", "inputdataconfig", "resourceconfig"):
    found[name] = json.load(open(f"{config}/{name}.json"))
json.dump(found, open(os.environ["SM_MODEL_DIR"] + "/found.json", "w"))
"""


def artifact(lab, job):
    body = lab.get(job["ModelArtifacts"]["S3ModelArtifacts"])
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}


@pytest.fixture(scope="module")
def shown(lab):
    """What a script-mode job with one channel saw."""
    lab.put("data/rows/a.txt", "one")
    lab.put("data/rows/deep/b.txt", "two")
    single = lab.put("data/only.csv", "three")
    name = lab.train(
        SHOW + "import glob\nprint(*sorted(glob.glob(os.environ['SM_INPUT_DIR'] + '/data/**',"
        " recursive=True)), sep='\\n')",
        HyperParameters={
            "epochs": "3",
            "rate": "2e-5",
            "only_top": "true",
            "name": "bert",
            "k": "null",
            "where": "/opt/ml/input/data/train",
        },
        InputDataConfig=[lab.channel("train", lab.uri("data/rows")), lab.channel("one", single)],
        Environment={"PLACE": "/opt/ml/model/x", "OPTICS": "/opt/mlflow"},
    )
    job = lab.wait("TrainingJob", name)
    assert job["TrainingJobStatus"] == "Completed", job
    return job, json.loads(artifact(lab, job)["found.json"])


def test_hyperparameters_are_json_decoded_sorted_arguments_without_the_toolkits_own(shown):
    found = shown[1]
    root = found["env"]["SM_INPUT_DIR"]
    assert found["argv"] == [
        *("--epochs", "3", "-k", "", "--name", "bert", "--only_top", "True"),
        *("--rate", "2e-05", "--where", f"{root}/data/train"),
    ]
    assert json.loads(found["env"]["SM_USER_ARGS"]) == found["argv"]
    assert found["env"]["SM_HP_ONLY_TOP"] == "True"
    assert found["hyperparameters"]["epochs"] == "3"


def test_the_script_sees_the_container_layout_in_its_variables(lab, shown):
    job, found = shown
    env = found["env"]
    assert env["SM_MODEL_DIR"].endswith(f"jobs/training/{job['TrainingJobName']}/opt/ml/model")
    assert json.loads(env["SM_CHANNELS"]) == ["one", "train"]
    assert env["SM_CHANNEL_TRAIN"].endswith("/opt/ml/input/data/train")
    assert env["TRAINING_JOB_NAME"] == job["TrainingJobName"]
    assert env["PLACE"].endswith("/opt/ml/model/x")
    assert env["PLACE"] != "/opt/ml/model/x"
    assert env["OPTICS"] == "/opt/mlflow"
    assert env["AWS_ENDPOINT_URL"] == lab.platform.endpoint_url
    assert found["inputdataconfig"]["train"]["TrainingInputMode"] == "File"
    assert found["resourceconfig"]["hosts"] == ["algo-1"]


def test_prefixes_keep_relative_paths_and_an_exact_object_its_own_name(lab, shown):
    name = shown[0]["TrainingJobName"]
    lines = lab.log("/aws/sagemaker/TrainingJobs", name)
    paths = [line.split("/input/data/")[1] for line in lines if "/input/data/" in line]
    assert {"one/only.csv", "train/a.txt", "train/deep/b.txt"} <= set(paths)


def test_a_finished_job_tells_its_transitions_and_puts_events(lab, shown):
    job = shown[0]
    statuses = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    events = [
        (kind, detail["TrainingJobStatus"])
        for kind, detail, arns in lab.platform.events
        if arns == [job["TrainingJobArn"]]
    ]
    expected = "SageMaker Training Job State Change"
    assert events == [(expected, "InProgress"), (expected, "Completed")]


def test_metric_definitions_reach_describe_and_cloudwatch(lab):
    name = lab.train(
        "for loss in (0.9, 0.25): print(f'METRIC loss={loss}')\nprint('loss=nan-ish')",
        AlgorithmSpecification={
            "MetricDefinitions": [{"Name": "loss", "Regex": "METRIC loss=([0-9.eE+-]+)"}]
        },
    )
    job = lab.wait("TrainingJob", name)
    (final,) = job["FinalMetricDataList"]
    assert (final["MetricName"], final["Value"]) == ("loss", 0.25)
    statistics = lab.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="loss",
        Dimensions=[{"Name": "TrainingJobName", "Value": name}],
        StartTime=time.time() - 600,
        EndTime=time.time() + 600,
        Period=3600,
        Statistics=["Minimum", "Maximum", "SampleCount"],
    )
    points = statistics["Datapoints"]
    assert min(point["Minimum"] for point in points) == 0.25
    assert max(point["Maximum"] for point in points) == 0.9
    assert sum(point["SampleCount"] for point in points) == 2


def test_a_script_error_fails_the_job_with_the_toolkits_reason(lab):
    job = lab.wait("TrainingJob", lab.train("raise ValueError('labels differ')"))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1")
    assert "ValueError: labels differ" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 1")


def test_the_failure_file_is_the_reason(lab):
    script = (
        "import os, sys\n"
        "open(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('too few rows')\n"
        "sys.exit(3)"
    )
    job = lab.wait("TrainingJob", lab.train(script))
    assert job["FailureReason"] == "AlgorithmError: too few rows, exit code: 3"


def test_missing_data_fails_the_job_in_awss_words(lab):
    uri = lab.uri("nowhere/")
    name = lab.train("", InputDataConfig=[lab.channel("train", uri)])
    reason = lab.wait("TrainingJob", name)["FailureReason"]
    assert reason.startswith(f'ClientError: No S3 objects found under S3 URL "{uri}"')


def test_a_source_archive_that_is_not_gzipped_fails_like_the_toolkit(lab):
    code = lab.put("code/plain.zip", b"PK\x03\x04 not a gzipped tar")
    name = lab.train("", HyperParameters={"sagemaker_submit_directory": code})
    reason = lab.wait("TrainingJob", name)["FailureReason"]
    assert "Framework Error: ReadError: not a gzip file" in reason
    assert code in reason


def test_requirements_must_be_met_already(lab):
    met = lab.train("", files={"requirements.txt": "boto3>=1.0\n# a comment\n\n"})
    unmet = lab.train("", files={"requirements.txt": "boto3<1\nno-such-package-here==1\n"})
    assert lab.wait("TrainingJob", met)["TrainingJobStatus"] == "Completed"
    reason = lab.wait("TrainingJob", unmet)["FailureReason"]
    assert "boto3<1, no-such-package-here==1 not installed" in reason


def test_an_isolated_job_has_no_credentials_and_takes_its_code_from_a_channel(lab):
    lab.put("isolated/code.tar.gz", lab.archive({"train.py": SHOW}))
    name = lab.train(
        "",
        HyperParameters={"sagemaker_submit_directory": "/opt/ml/input/data/code/code.tar.gz"},
        InputDataConfig=[lab.channel("code", lab.uri("isolated/"))],
        EnableNetworkIsolation=True,
    )
    job = lab.wait("TrainingJob", name)
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    env = json.loads(artifact(lab, job)["found.json"])["env"]
    assert not [variable for variable in env if variable.startswith("AWS_")]
    assert env["HF_HUB_OFFLINE"] == "1"


def test_cloudwatch_gives_the_curve_of_a_short_job_between_its_start_and_end(lab):
    name = lab.train(
        "import time\n"
        "for loss in (0.9, 0.5, 0.25):\n"
        "    print(f'METRIC loss={loss}', flush=True)\n"
        "    time.sleep(1.05)",
        AlgorithmSpecification={
            "MetricDefinitions": [{"Name": "loss", "Regex": "METRIC loss=([0-9.]+)"}]
        },
    )
    job = lab.wait("TrainingJob", name)
    metric = {
        "Namespace": "/aws/sagemaker/TrainingJobs",
        "MetricName": "loss",
        "Dimensions": [{"Name": "TrainingJobName", "Value": name}],
    }
    between = {"StartTime": job["TrainingStartTime"], "EndTime": job["TrainingEndTime"]}
    cloudwatch = lab.client("cloudwatch")
    asked = {**metric, **between, "Statistics": ["Average", "SampleCount"]}
    by_minute = cloudwatch.get_metric_statistics(**asked, Period=60)["Datapoints"]
    assert sum(point["SampleCount"] for point in by_minute) == 3
    by_second = cloudwatch.get_metric_statistics(**asked, Period=1)["Datapoints"]
    by_second.sort(key=lambda point: point["Timestamp"])
    assert [point["Average"] for point in by_second] == [0.9, 0.5, 0.25]
    query = {"Id": "loss", "MetricStat": {"Metric": metric, "Period": 1, "Stat": "Average"}}
    data = cloudwatch.get_metric_data(MetricDataQueries=[query], **between)
    assert data["MetricDataResults"][0]["Values"] == [0.9, 0.5, 0.25]


def test_an_isolated_job_cannot_fetch_its_code_from_s3(lab):
    job = lab.wait("TrainingJob", lab.train("", EnableNetworkIsolation=True))
    assert "network isolation is on" in job["FailureReason"]


def test_an_own_entrypoint_runs_without_the_toolkit(lab):
    lab.put("own/go.py", "import os\nprint(any(v.startswith('SM_') for v in os.environ), __file__)")
    name = lab.train(
        "",
        AlgorithmSpecification={
            "ContainerEntrypoint": ["python3"],
            "ContainerArguments": ["/opt/ml/input/data/code/go.py"],
        },
        InputDataConfig=[lab.channel("code", lab.uri("own/"))],
    )
    assert lab.wait("TrainingJob", name)["TrainingJobStatus"] == "Completed"
    (line,) = lab.log("/aws/sagemaker/TrainingJobs", name)
    assert line.startswith("False ")
    assert line.endswith("/opt/ml/input/data/code/go.py")


def test_output_data_and_checkpoints_go_to_s3_and_checkpoints_come_back(lab):
    script = (
        "import os\nroot = os.environ['SM_OUTPUT_DIR'] + '/../checkpoints'\n"
        "step = len(os.listdir(root))\n"
        "open(f'{root}/step-{step}', 'w').write('x')\n"
        "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/notes.txt', 'w').write('y')\n"
    )
    for _ in range(2):
        name = lab.train(script, CheckpointConfig={"S3Uri": lab.uri("checkpoints/run")})
        assert lab.wait("TrainingJob", name)["TrainingJobStatus"] == "Completed"
    assert lab.keys("checkpoints/") == ["checkpoints/run/step-0", "checkpoints/run/step-1"]
    assert f"models/{name}/output/output.tar.gz" in lab.keys("models/")


def test_a_stopped_job_keeps_its_model_and_ends_as_stopped(lab):
    name = lab.train(
        "import os, time, pathlib\n"
        "pathlib.Path(os.environ['SM_MODEL_DIR'], 'early').touch()\n"
        "print('working')\ntime.sleep(60)"
    )
    log = lab.platform.state_dir / "sagemaker/jobs/training" / name / "log.txt"
    lab.eventually(lambda: log.exists() and "working" in log.read_text())
    lab.call("StopTrainingJob", {"TrainingJobName": name})
    job = lab.wait("TrainingJob", name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert list(artifact(lab, job)) == ["early"]
    with pytest.raises(SageMakerError, match="is in status Stopped"):
        lab.call("StopTrainingJob", {"TrainingJobName": name})


def test_a_running_job_takes_new_profiler_settings_and_a_finished_one_none(lab):
    name = lab.train("import time; time.sleep(60)")
    change = {"TrainingJobName": name, "ProfilerConfig": {"DisableProfiler": True}}
    arn = lab.call("UpdateTrainingJob", change)["TrainingJobArn"]
    job = lab.describe("TrainingJob", name)
    assert (job["TrainingJobArn"], job["ProfilerConfig"]) == (arn, {"DisableProfiler": True})
    with pytest.raises(SageMakerError, match="no warm pools"):
        lab.call(
            "UpdateTrainingJob",
            {"TrainingJobName": name, "ResourceConfig": {"KeepAlivePeriodInSeconds": 60}},
        )
    lab.call("StopTrainingJob", {"TrainingJobName": name})
    lab.wait("TrainingJob", name)
    with pytest.raises(SageMakerError, match="is in status Stopped"):
        lab.call("UpdateTrainingJob", change)
    with pytest.raises(SageMakerError, match="Requested resource not found"):
        lab.call("UpdateTrainingJob", {**change, "TrainingJobName": "nobody"})


def test_a_deleted_job_leaves_no_files(lab):
    name = lab.train("raise SystemExit(3)")
    directory = lab.platform.state_dir / "sagemaker/jobs/training" / name
    assert lab.wait("TrainingJob", name)["TrainingJobStatus"] == "Failed"
    assert directory.is_dir()
    lab.call("DeleteTrainingJob", {"TrainingJobName": name})
    assert not directory.exists()
    with pytest.raises(SageMakerError, match="Requested resource not found"):
        lab.describe("TrainingJob", name)


def test_an_output_bucket_that_is_missing_is_the_reason(lab):
    name = lab.train("", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/models"})
    reason = lab.wait("TrainingJob", name)["FailureReason"]
    assert reason.startswith("ClientError: Artifact upload failed: ")
    assert "no-such-bucket" in reason


def test_the_time_limit_ends_a_job_and_all_its_processes(lab):
    name = lab.train(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid)\nchild.wait()",
        StoppingCondition={"MaxRuntimeInSeconds": 1},
    )
    job = lab.wait("TrainingJob", name)
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    pid = int(lab.log("/aws/sagemaker/TrainingJobs", name)[0])
    assert not _runs(pid)


def test_processes_that_a_script_leaves_behind_end_with_it(lab):
    name = lab.train(
        "import subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(left.pid)"
    )
    assert lab.wait("TrainingJob", name)["TrainingJobStatus"] == "Completed"
    assert not _runs(int(lab.log("/aws/sagemaker/TrainingJobs", name)[0]))


def test_job_names_are_unique_and_missing_jobs_are_named(lab, shown):
    name = shown[0]["TrainingJobName"]
    with pytest.raises(SageMakerError, match="Training job names must be unique") as taken:
        lab.train("", name=name)
    assert taken.value.code == "ResourceInUse"
    with pytest.raises(SageMakerError, match="Requested resource not found") as missing:
        lab.describe("TrainingJob", "nobody")
    assert missing.value.code == "ValidationException"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"AlgorithmSpecification": {"TrainingImage": "tensorflow:2"}},
            "does not run on the local",
        ),
        ({"AlgorithmSpecification": {"TrainingInputMode": "Sideways"}}, "satisfy enum value set"),
        ({"name": "bad_name"}, "regular expression pattern"),
        ({"RoleArn": "x" * 20}, "at 'roleArn'"),
        ({"Typo": 1}, "Unknown parameter"),
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/tmp"}}, "under /opt/ml"),
    ],
)
def test_a_request_that_aws_or_this_machine_refuses_makes_no_job(lab, change, words):
    with pytest.raises(SageMakerError, match=words) as refusal:
        lab.train("", **change)
    assert refusal.value.code == "ValidationException"
    assert refusal.value.status == 400


def test_jobs_are_listed_by_name_and_status_in_pages(lab):
    for number in range(3):
        lab.wait("TrainingJob", lab.train("", name=f"listed-{number}"))
    first = lab.call("ListTrainingJobs", {"NameContains": "LISTED", "MaxResults": 2})
    rest = lab.call(
        "ListTrainingJobs",
        {"NameContains": "LISTED", "MaxResults": 2, "NextToken": first["NextToken"]},
    )
    names = [job["TrainingJobName"] for job in first["TrainingJobSummaries"]]
    names += [job["TrainingJobName"] for job in rest["TrainingJobSummaries"]]
    assert names == ["listed-0", "listed-1", "listed-2"]
    assert "NextToken" not in rest
    none = lab.call("ListTrainingJobs", {"NameContains": "listed", "StatusEquals": "Failed"})
    assert none["TrainingJobSummaries"] == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        # {"start": -5}, which no page gave
        ({"NextToken": "eyJzdGFydCI6IC01fQ=="}, "Invalid NextToken"),
        ({"NextToken": "xx"}, "Invalid NextToken"),
        ({"CreationTimeAfter": 1e30}, "a timestamp cannot be read"),
    ],
)
def test_a_page_that_cannot_be_is_refused(lab, request_, words):
    with pytest.raises(SageMakerError, match=words) as refusal:
        lab.call("ListTrainingJobs", request_)
    assert refusal.value.code == "ValidationException"


def test_operations_that_do_not_exist_or_do_not_run_here_are_refused(lab):
    with pytest.raises(SageMakerError, match="no operation 'MakeCoffee'") as unknown:
        lab.call("MakeCoffee", {})
    with pytest.raises(SageMakerError, match="CreateAutoMLJob is not implemented"):
        lab.call("CreateAutoMLJob", {})
    assert unknown.value.code == "UnknownOperationException"


def test_jobs_that_start_at_the_same_moment_share_one_interpreter_directory(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        for number in range(50):
            directory = tmp_path / str(number)
            found = set(pool.map(interpreter_directory, [directory] * 4))
            assert found == {directory / "bin"}


def _runs(pid):
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
