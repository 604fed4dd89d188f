"""Runs the tests of these scripts in another environment: see `make test`."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What reaches transformers, its tokenizers or huggingface_hub; the others compute the same anywhere.
FILES = ("prepare_figures", "stage", "train*", "evaluate", "package*")


def scripts_hold_their_promises(overlay: str, version: str) -> None:
    python = ROOT / f".venv-{overlay}" / "bin" / "python"
    found = subprocess.run(
        [python, "-c", "import transformers; print(transformers.__version__)"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.stdout.startswith(version), found.stderr
    folder = ROOT / "tests" / "training"
    files = [str(path) for name in FILES for path in sorted(folder.glob(f"test_{name}.py"))]
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout[-6000:]
