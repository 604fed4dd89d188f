from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
import uuid
import zipfile
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from local.sagemaker import SageMaker

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
TRAINING_IMAGE = f"{REGISTRY}/huggingface-pytorch-training:2.8.0-transformers4.56.2-gpu-py312"
INFERENCE_IMAGE = f"{REGISTRY}/huggingface-pytorch-inference:2.6.0-transformers4.49.0-cpu-py312"
ROLE = "arn:aws:iam::123456789012:role/sagemaker"
RATE = {"Name": "rate", "MinValue": "0.0", "MaxValue": "1.0"}

# The best rate is 0.3, and with every epoch a job comes nearer to its level; poor ones take long.
TUNED_SCRIPT = """
import os, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
level = 1 - abs(float(given.get("--rate", 0.3)) - 0.3) - 0.1 * (given.get("--kind") == "b")
for epoch in range(1, int(given.get("--epochs", 1)) + 1):
    print(f"METRIC f1={level * epoch / (epoch + 1):.6f}", flush=True)
    if level < 0.75:
        time.sleep(float(given.get("--pause", 0)))
print("METRIC loss=nan")
open(os.environ["SM_MODEL_DIR"] + "/argv", "w").write(" ".join(sys.argv[1:]))
"""


class Platform:
    account = "123456789012"
    region = "us-east-1"

    def __init__(self, endpoint_url: str, state_dir: Path) -> None:
        self.endpoint_url = endpoint_url
        self.state_dir = state_dir
        self.events: list[tuple[str, dict, list[str]]] = []

    def put_event(self, detail_type, detail, resources):
        self.events.append((detail_type, detail, resources))


class Lab:
    """A SageMaker over a real MiniStack, and what tests keep asking of it."""

    archive = staticmethod(lambda files: archive(files))
    eventually = staticmethod(lambda *arguments: eventually(*arguments))
    training_image = TRAINING_IMAGE
    inference_image = INFERENCE_IMAGE
    role = ROLE

    def __init__(self, endpoint_url: str, state_dir: Path) -> None:
        self.platform = Platform(endpoint_url, state_dir)
        self.sagemaker = SageMaker(self.platform)
        self.sagemaker.recover()
        self.call = self.sagemaker.call
        self.s3 = self.client("s3")
        self.bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket)

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.platform.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="123456789012",
            aws_secret_access_key="local",
            config=Config(s3={"addressing_style": "path"}),
        )

    def put(self, key, body):
        body = body if isinstance(body, bytes) else body.encode()
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return self.uri(key)

    def uri(self, key):
        return f"s3://{self.bucket}/{key}"

    def get(self, uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def keys(self, prefix=""):
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", [])]

    def train(self, script, name=None, files=None, **request):
        """Starts a script-mode training job of one script."""
        name = name or f"job-{uuid.uuid4().hex[:8]}"
        code = self.put(f"code/{name}.tar.gz", archive({"train.py": script, **(files or {})}))
        hyperparameters = {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": code,
            **request.pop("HyperParameters", {}),
        }
        algorithm = {
            "TrainingImage": TRAINING_IMAGE,
            "TrainingInputMode": "File",
            **request.pop("AlgorithmSpecification", {}),
        }
        self.call(
            "CreateTrainingJob",
            {
                "TrainingJobName": name,
                "RoleArn": ROLE,
                "AlgorithmSpecification": algorithm,
                "HyperParameters": hyperparameters,
                "OutputDataConfig": {"S3OutputPath": self.uri("models/")},
                "ResourceConfig": {
                    "InstanceType": "ml.m5.xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 10,
                },
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                **request,
            },
        )
        return name

    def channel(self, name, uri):
        source = {"S3DataType": "S3Prefix", "S3Uri": uri}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

    def process(self, script, name=None, inputs=(), outputs=(), **request):
        """Starts a processing job that runs one script's text."""
        name = name or f"job-{uuid.uuid4().hex[:8]}"
        self.call(
            "CreateProcessingJob",
            {"ProcessingJobName": name, **self.processing(script, inputs, outputs), **request},
        )
        return name

    def processing(self, script, inputs=(), outputs=(), arguments=()):
        """A processing job's request without its name."""
        code = f"code/{hashlib.sha256(script.encode()).hexdigest()[:12]}"
        self.put(f"{code}/go.py", script)
        inputs = [("code", self.uri(code)), *inputs]
        return {
            "RoleArn": ROLE,
            "AppSpecification": {
                "ImageUri": INFERENCE_IMAGE,
                "ContainerEntrypoint": ["python3", "/opt/ml/processing/code/go.py"],
                **({"ContainerArguments": list(arguments)} if arguments else {}),
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 10,
                }
            },
            "ProcessingInputs": [
                {
                    "InputName": key,
                    "S3Input": {
                        "S3Uri": uri,
                        "LocalPath": f"/opt/ml/processing/{key}",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                    },
                }
                for key, uri in inputs
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": key,
                        "S3Output": {
                            "S3Uri": uri,
                            "LocalPath": f"/opt/ml/processing/{key}",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                    for key, uri in outputs
                ]
            },
        }

    def wait(self, kind, name, seconds=30):
        """The description once the status is final."""
        return eventually(
            lambda: self._final(kind, name), seconds, lambda: self.describe(kind, name)
        )

    def describe(self, kind, name):
        return self.call(f"Describe{kind}", {f"{kind}Name": name})

    def _final(self, kind, name):
        found = self.describe(kind, name)
        busy = ("InProgress", "Stopping", "Creating", "Updating", "Deleting")
        return found if found[f"{kind}Status"] not in busy else None

    def log(self, group, prefix):
        logs = self.client("logs")
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)
        names = [stream["logStreamName"] for stream in streams["logStreams"]]
        return [
            event["message"]
            for name in names
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=name, startFromHead=True
            )["events"]
        ]

    def training_definition(self, script=TUNED_SCRIPT, **static):
        """A tuning request's TrainingJobDefinition for one script."""
        code = f"code/{hashlib.sha256(script.encode()).hexdigest()[:12]}.tar.gz"
        return {
            "AlgorithmSpecification": {
                "TrainingImage": TRAINING_IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": "f1", "Regex": "METRIC f1=([0-9.e-]+)"},
                    {"Name": "loss", "Regex": "METRIC loss=([a-z0-9.e-]+)"},
                ],
            },
            "StaticHyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": self.put(code, archive({"train.py": script})),
                **static,
            },
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": self.uri("models/")},
            "ResourceConfig": {
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }

    def tuning(self, name, strategy="Random", jobs=2, parallel=2, ranges=None, **config):
        """A tuning request; members of `config` join the tuning job's configuration."""
        script, static = config.pop("script", TUNED_SCRIPT), config.pop("static", {})
        limits = {"MaxParallelTrainingJobs": parallel}
        if jobs is not None:
            limits["MaxNumberOfTrainingJobs"] = jobs
        return {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": {
                "Strategy": strategy,
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "f1"},
                "ResourceLimits": limits,
                "ParameterRanges": ranges or {"ContinuousParameterRanges": [RATE]},
                **config,
            },
            "TrainingJobDefinition": self.training_definition(script, **static),
        }

    def tune(self, name=None, **settings):
        """Starts a tuning job."""
        name = name or f"tune-{uuid.uuid4().hex[:8]}"
        self.call("CreateHyperParameterTuningJob", self.tuning(name, **settings))
        return name

    def tuned(self, name, **asked):
        """The training jobs of a tuning job."""
        return self.call(
            "ListTrainingJobsForHyperParameterTuningJob",
            {"HyperParameterTuningJobName": name, **asked},
        )["TrainingJobSummaries"]

    def function(self, source):
        """A Lambda function whose module is this text; its ARN."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive_:
            archive_.writestr("index.py", source)
        made = self.client("lambda").create_function(
            FunctionName=f"function-{uuid.uuid4().hex[:8]}",
            Runtime="python3.12",
            Handler="index.handler",
            Role=ROLE,
            Code={"ZipFile": buffer.getvalue()},
        )
        return made["FunctionArn"]

    def model(self, name, artifact, environment=None, **request):
        container = {"Image": INFERENCE_IMAGE, "Environment": environment or {}}
        if artifact is not None:
            container["ModelDataUrl"] = artifact
        self.call(
            "CreateModel",
            {
                "ModelName": name,
                "ExecutionRoleArn": ROLE,
                "PrimaryContainer": container,
                **request,
            },
        )
        return name

    def config(self, name, model, **variant):
        variant = variant or {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
        self.call(
            "CreateEndpointConfig",
            {
                "EndpointConfigName": name,
                "ProductionVariants": [
                    {"VariantName": "AllTraffic", "ModelName": model, **variant}
                ],
            },
        )
        return name

    def endpoint(self, name, config, seconds=90):
        self.call("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": config})
        return self.wait("Endpoint", name, seconds)


HANDLER = """
import json, os, pathlib, time
from mms.service import PredictionException


class HuggingFaceHandlerService:
    def initialize(self, context):
        self.says = pathlib.Path(context.system_properties["model_dir"], "says").read_text()

    def handle(self, data, context):
        body = bytes(data[0]["body"])
        if body == b"die":
            os._exit(9)
        time.sleep({b"slow": 1, b"slower": 2}.get(body.strip(), 0))
        if b"bad" in body:
            raise PredictionException(f"cannot read {body.decode()}", 400)
        headers = context.request_processor[0].get_request_properties()
        context.set_response_content_type(0, headers.get("Accept", "application/json"))
        name = "X-Amzn-SageMaker-Custom-Attributes"
        if name in headers:
            context.set_response_header(0, name, headers[name])
        if body == b"who":
            return [json.dumps({"pid": os.getpid(), "says": self.says})]
        return [self.says + ":" + body.decode().replace("\\n", "|")]
"""


@pytest.fixture(scope="session")
def light(tmp_path_factory):
    """A model environment whose toolkit is a few lines, so that a process starts at once."""
    root = tmp_path_factory.mktemp("light")
    (root / "sagemaker_huggingface_inference_toolkit").mkdir()
    (root / "sagemaker_huggingface_inference_toolkit" / "__init__.py").touch()
    (root / "sagemaker_huggingface_inference_toolkit" / "handler_service.py").write_text(HANDLER)
    (root / "torch.py").write_text("class cuda:\n    is_available = staticmethod(lambda: False)\n")
    return {"PYTHONPATH": str(root)}


def archive(files):
    """A gzipped tar of names and texts."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, body in files.items():
            body = body if isinstance(body, bytes) else body.encode()
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


def eventually(look, seconds=20.0, show=lambda: None):
    """What `look` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s: {show()}")


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = tmp_path_factory.mktemp("ministack")
    environment = os.environ | {
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "GATEWAY_PORT": str(port),
        "S3_DATA_DIR": str(directory / "s3"),
        "STATE_DIR": str(directory / "state"),
        "MINISTACK_ACCOUNT_ID": "123456789012",
        "LAMBDA_EXECUTOR": "local",
    }
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: _answers(f"{url}/_ministack/health"), 60)
    yield url
    server.terminate()
    server.wait(20)


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def lab(ministack_url, tmp_path_factory):
    lab = Lab(ministack_url, tmp_path_factory.mktemp("state"))
    yield lab
    lab.sagemaker.stop()
