"""The tests of training and evaluation once more, under the newest transformers 5."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Made by `make test`; see requirements-transformers5.txt.
PYTHON = ROOT / ".venv-transformers5" / "bin" / "python"


def test_training_and_evaluation_hold_the_same_promises_under_transformers_5():
    version = subprocess.run(
        [PYTHON, "-c", "import transformers; print(transformers.__version__)"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert version.stdout.startswith("5."), version.stderr
    files = ["tests/training/test_train.py", "tests/training/test_evaluate.py"]
    run = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stdout[-6000:]
