"""Data larger than memory: ten times the rows take no more of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEASURED = """
import resource, sys
import prepare
report = prepare.main(sys.argv[1:])
print(report["rows"]["train"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write(path, megabytes):
    rows = 100 * megabytes
    filling = "some words of a long text, " * 390
    with path.open("w") as file:
        if path.suffix == ".json":
            file.write("[\n")
        for i in range(rows):
            if path.suffix == ".csv":
                file.write(f'{i % 2},"{i} {filling}"\n')
            else:
                row = json.dumps({"label": i % 2, "text": f"{i} {filling}"})
                comma = "," if path.suffix == ".json" and i < rows - 1 else ""
                file.write(f"{row}{comma}\n")
        if path.suffix == ".json":
            file.write("]\n")


def peak_megabytes(folder, name, megabytes):
    folder.mkdir()
    (folder / "raw").mkdir()
    write(folder / "raw" / name, megabytes)
    places = [f"--{n}={folder / n}" for n in ("train", "validation", "test", "report")]
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, f"--input={folder / 'raw'}", *places],
        env={**os.environ, "PYTHONPATH": str(ROOT / "training")},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    rows, kilobytes = run.stdout.splitlines()[-1].split()
    assert int(rows) == 70 * megabytes
    return int(kilobytes) / 1024


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_memory_does_not_grow_with_the_data(tmp_path, name):
    few = peak_megabytes(tmp_path / "few", name, 5)
    many = peak_megabytes(tmp_path / "many", name, 50)
    assert many - few < 8
