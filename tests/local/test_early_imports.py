from __future__ import annotations

import zipfile

import pytest

from local.processes.early_imports import gains_by_early_imports

ROOT = [
    "import torch",
    "from transformers import (\n    Trainer,\n)",
    "def f():\n    import torch.nn",
]
HARMLESS = [
    'os.environ.get("HF_HOME")',
    'os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"',
    'os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")',
    'print(os.environ["HOME"], "HOME" in os.environ, os.environ.copy())',
    "settings.update(HF_HOME='a')",
    'settings["environ"] = 1',
]
DECIDING = [
    'os.environ["HF_HOME"] = "a"',
    'del os.environ["HF_HOME"]',
    'os.environ.setdefault("OMP_NUM_THREADS", "1")',
    "os.environ.update(given)",
    "os.environ |= given",
    "held = os.environ",
    "patch.dict(os.environ, given)",
    "os.environb[name] = value",
    "from os import environ as held",
    'os.environ["ACCELERATE_ENABLE_RICH"] = "1"',
    'subprocess.run([sys.executable, "-m", "pip", "install", "sentencepiece"])',
    "os.environ[name] = value",
    'from os import environ\nenviron["HF_HOME"] = "a"',
    'os.putenv("HF_HOME", "a")',
    "from dotenv import load_dotenv\nload_dotenv()",
    'os.environ["HF_HOME" = "what is no Python"',
]


def written(folder, source, name="train.py"):
    (folder / name).write_text(source)
    return [folder]


@pytest.mark.parametrize("source", ROOT)
def test_code_that_imports_torch_or_transformers_gains(tmp_path, source):
    assert gains_by_early_imports(written(tmp_path, source))


@pytest.mark.parametrize("source", ["import torchless", "print('import torch')", "import numpy"])
def test_code_that_imports_neither_does_not(tmp_path, source):
    assert not gains_by_early_imports(written(tmp_path, source))


@pytest.mark.parametrize("statement", HARMLESS)
def test_variables_that_no_import_reads_do_not_matter(tmp_path, statement):
    assert gains_by_early_imports(written(tmp_path, f"import os\nimport torch\n{statement}\n"))


@pytest.mark.parametrize("statement", DECIDING)
def test_code_that_sets_others_has_to_be_first(tmp_path, statement):
    (tmp_path / "deep").mkdir()
    written(tmp_path / "deep", f"import os\n{statement}\n", "settings.py")
    assert not gains_by_early_imports(written(tmp_path, "import torch"))


def test_zips_are_read_and_what_is_missing_has_no_code(tmp_path):
    archive = tmp_path / "scripts.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("evaluate.py", "import torch")
    (tmp_path / ".#train.py").symlink_to("nowhere")
    assert gains_by_early_imports([archive, tmp_path / "missing"])
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("settings.py", DECIDING[0])
    assert not gains_by_early_imports([archive])
