"""What is shipped: the scripts, the functions and the weights, in the same bytes each time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from infra.archives import files_below, unpack_tar_gz, write_tar_gz, write_zip
from infra.lambda_bundle import FUNCTIONS, BundleError, bundle_files, function_zip
from infra.serving_wheels import wheels
from infra.source_bundle import (
    INFERENCE,
    TRAINING,
    encoder_asset,
    model_asset,
    source_assets,
)
from infra.wheels import MissingWheelError

# What Lambda's Python 3.13 has beside the standard library.
RUNTIME = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six.py")


@pytest.fixture
def stack(tmp_path):
    from aws_cdk import App, Stack

    return Stack(App(outdir=str(tmp_path / "out")), "S")


@pytest.fixture
def scripts(tmp_path):
    folder = tmp_path / "scripts"
    (folder / "deep").mkdir(parents=True)
    (folder / "train.py").write_text("print(1)\n")
    (folder / "deep" / "rows.py").write_text("print(2)\n")
    return folder


@pytest.mark.parametrize("write", [write_tar_gz, write_zip])
def test_an_archive_depends_on_names_and_contents_only(write, scripts, tmp_path):
    write(tmp_path / "one", files_below(scripts))
    for path in scripts.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    (scripts / "__pycache__").mkdir()
    (scripts / "__pycache__" / "train.cpython-311.pyc").write_bytes(b"x")
    write(tmp_path / "two", dict(reversed(files_below(scripts).items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    (scripts / "train.py").write_text("print(3)\n")
    write(tmp_path / "three", files_below(scripts))
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


def test_a_gzip_header_tells_neither_time_nor_file_name(scripts, tmp_path):
    write_tar_gz(tmp_path / "one.tar.gz", files_below(scripts))
    header = (tmp_path / "one.tar.gz").read_bytes()[:10]
    assert header[3:8] == b"\0" * 5


def test_the_training_toolkit_finds_the_scripts_at_the_root_and_the_handler_below(tmp_path):
    files = {**files_below(TRAINING), **files_below(INFERENCE, "inference/")}
    write_tar_gz(tmp_path / "sourcedir.tar.gz", files)
    with tarfile.open(tmp_path / "sourcedir.tar.gz", "r:gz") as archive:
        names = set(archive.getnames())
        assert all(member.uid == member.mtime == 0 for member in archive.getmembers())
    assert {"train.py", "prepare.py", "evaluate.py", "stage.py", "inference/inference.py"} <= names


def test_python_imports_the_processing_scripts_out_of_the_zip(tmp_path):
    write_zip(tmp_path / "code.zip", files_below(TRAINING))
    run = subprocess.run(
        [sys.executable, "-m", "prepare", "--help"],
        env={"PYTHONPATH": str(tmp_path / "code.zip"), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "--label-at-least" in run.stdout


@pytest.mark.parametrize("function", ["api", "approved", "release", "smoke"])
def test_a_function_needs_nothing_beside_its_bundle_and_lambdas_runtime(function, tmp_path):
    with function_zip(function) as path, zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "task")
    (tmp_path / "runtime").mkdir()
    site_packages = Path(pytest.__file__).parent.parent
    for name in RUNTIME:
        (tmp_path / "runtime" / name).symlink_to(site_packages / name)
    if not (tmp_path / "task" / "jmespath").exists():
        (tmp_path / "runtime" / "jmespath").symlink_to(site_packages / "jmespath")
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {[str(tmp_path / 'task'), str(tmp_path / 'runtime')]}; import handler; print(handler.handler)"],
        env={"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_SERVICE_NAME": "x"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_a_function_is_zipped_to_the_same_bytes_each_time():
    with function_zip("api") as path:
        first = Path(path).read_bytes()
    with function_zip("api") as path:
        assert Path(path).read_bytes() == first


def test_a_function_ships_neither_compiled_files_nor_scripts():
    names = set(bundle_files(FUNCTIONS / "api"))
    assert {"handler.py", "aws_lambda_powertools/__init__.py"} <= names
    assert not [n for n in names if n.endswith(".pyc") or ".." in n or "dist-info" in n]
    assert "requirements.txt" not in names


@pytest.mark.parametrize(
    ("requirement", "refusal"),
    [
        ("jmespath", "got 'jmespath', allowed is an exact pin"),
        ("jmespath>=1.0", "allowed is an exact pin"),
        ("jmespath==0.9.0", r"got jmespath==0.9.0, but 1\.\S+ is installed: pip install"),
        ("no-such-thing==1.0", "no-such-thing is not installed: pip install no-such-thing==1.0"),
        ("numpy==1.26.4", "holds machine code for this computer"),
    ],
)
def test_a_requirement_that_cannot_be_shipped_is_refused(requirement, refusal, tmp_path):
    (tmp_path / "requirements.txt").write_text(f"# why\n{requirement}\n")
    with pytest.raises(BundleError, match=refusal):
        bundle_files(tmp_path)


def test_a_functions_own_file_wins_over_one_of_a_requirement(tmp_path):
    shutil.copy(FUNCTIONS / "api" / "requirements.txt", tmp_path)
    (tmp_path / "typing_extensions.py").write_text("mine = True\n")
    assert bundle_files(tmp_path)["typing_extensions.py"] == tmp_path / "typing_extensions.py"


def test_weights_keep_their_files_and_get_our_code(stack, tmp_path):
    house = tmp_path / "house"
    (house / "code").mkdir(parents=True)
    (house / "config.json").write_text("{}")
    (house / "code" / "inference.py").write_text("stale")
    write_tar_gz(tmp_path / "house.tar.gz", files_below(house))
    from_folder = model_asset(stack, "Folder", source=house)
    from_archive = model_asset(stack, "Archive", source=tmp_path / "house.tar.gz")
    assert from_folder.digest == from_archive.digest
    assert from_folder.key == f"{from_folder.digest}.tar.gz"
    [packed] = (tmp_path / "out").glob("asset.*.tar.gz")
    unpack_tar_gz(packed, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "config.json").read_text() == "{}"
    served = tmp_path / "unpacked" / "code" / "inference.py"
    assert served.read_bytes() == (INFERENCE / "inference.py").read_bytes()


@pytest.mark.parametrize("with_wheels", [True, False])
def test_packaging_ships_the_scripts_the_handler_and_on_aws_the_wheels(
    stack, tmp_path, with_wheels
):
    asset = source_assets(stack, packages=True, with_wheels=with_wheels).packaging
    [zipped] = (tmp_path / "out").glob(f"asset.{asset.asset_hash}.zip")
    with zipfile.ZipFile(zipped) as archive:
        names = set(archive.namelist())
    assert {"train.py", "artifact.py", "inference/inference.py"} <= names
    carried = {path.name for path in wheels().values()}
    assert {name for name in names if name.startswith("wheels/")} == (
        {f"wheels/{name}" for name in carried} if with_wheels else set()
    )


def test_nothing_is_shipped_for_packaging_where_no_engine_asks_for_it(stack):
    assert source_assets(stack, packages=False, with_wheels=True).packaging is None


def test_weights_for_an_onnx_engine_bring_their_files_and_on_aws_the_runtime(stack, tmp_path):
    house = tmp_path / "house"
    (house / "onnx").mkdir(parents=True)
    (house / "config.json").write_text("{}")
    (house / "onnx" / "model.onnx").write_bytes(b"a graph")
    asset = model_asset(stack, "House", source=house, with_runtime=True)
    unpack_tar_gz(tmp_path / "out" / f"asset.{asset.digest}.tar.gz", tmp_path / "unpacked")
    assert (tmp_path / "unpacked/onnx/model.onnx").read_bytes() == b"a graph"
    runtime = tmp_path / "unpacked/code/runtime/cp312/onnxruntime"
    assert list(runtime.glob("capi/onnxruntime_pybind11_state*.so"))
    assert (tmp_path / "unpacked/code/inference.py").is_file()


def test_an_encoder_is_one_zip_with_its_files_at_the_root(stack, tmp_path):
    encoder = tmp_path / "encoder"
    (encoder / "1_Pooling").mkdir(parents=True)
    (encoder / "config.json").write_text("{}" * 100)
    (encoder / "model.safetensors").write_bytes(b"w" * 1000)
    (encoder / "1_Pooling" / "config.json").write_text("{}")
    asset = encoder_asset(stack, "Encoder", folder=encoder)
    with zipfile.ZipFile(tmp_path / "out" / f"asset.{asset.asset_hash}.zip") as archive:
        sizes = {one.filename: (one.file_size, one.compress_size) for one in archive.infolist()}
    assert set(sizes) == {"config.json", "model.safetensors", "1_Pooling/config.json"}
    # Weights are stored: to deflate gigabytes of them takes minutes and saves little.
    assert sizes["model.safetensors"] == (1000, 1000)
    assert sizes["config.json"][1] < 200


def test_missing_wheels_are_an_error_that_says_how_to_get_them(tmp_path):
    stale = next(iter(wheels().values())).name.replace("-1.", "-0.", 1)
    (tmp_path / stale).touch()
    with pytest.raises(MissingWheelError) as error:
        wheels(tmp_path)
    pin = "onnxruntime==" + version("onnxruntime")
    assert str(error.value) == (
        f"requirements-onnx.txt: got 0 wheels of {pin}, needed is 1 for the stage's ONNX engines: "
        "run `make setup`"
    )


def test_what_runs_here_and_what_is_shipped_are_the_same_versions():
    """The local AWS then packages and serves with what AWS gets."""
    for name, wheel in wheels().items():
        assert wheel.name.startswith(f"{name}-{version(name)}-")


def test_a_file_with_a_long_name_is_packed(tmp_path):
    source, name = tmp_path / "file", f"{'n' * 120}.txt"
    source.write_text("kept")
    write_tar_gz(tmp_path / "a.tar.gz", {name: source})
    unpack_tar_gz(tmp_path / "a.tar.gz", tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / name).read_text() == "kept"
