"""The equality suites, the hooks and what the torch engine loads, under transformers 5."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Made by `make test`; see requirements-transformers5.txt.
PYTHON = ROOT / ".venv-transformers5" / "bin" / "python"


def test_every_task_holds_the_same_promises_under_transformers_5():
    version = subprocess.run(
        [PYTHON, "-c", "import transformers; print(transformers.__version__)"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert version.stdout.startswith("5."), version.stderr
    suites = [
        *sorted(HERE.glob("test_equality_*.py")),
        *sorted(HERE.glob("test_hooks*.py")),
        HERE / "test_engine_torch.py",
    ]
    assert len(suites) > 4
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *suites]
    run = subprocess.run([PYTHON, *command], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout[-6000:]
