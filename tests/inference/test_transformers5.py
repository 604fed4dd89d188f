"""The handler's tests once more, under the newest transformers 5."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Made by `make test`; see requirements-transformers5.txt.
PYTHON = ROOT / ".venv-transformers5" / "bin" / "python"


def test_the_hooks_hold_the_same_promises_under_transformers_5():
    version = subprocess.run(
        [PYTHON, "-c", "import transformers; print(transformers.__version__)"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert version.stdout.startswith("5."), version.stderr
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/inference/test_hooks.py"]
    run = subprocess.run([PYTHON, *command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout[-6000:]
