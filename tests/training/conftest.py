"""The scripts by their plain names, as they are in a container, and data prepared by Prepare."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "training")]


@pytest.fixture
def prepare(tmp_path):
    """Run Prepare on files given by name and content; return its report and where it wrote."""
    from prepare import main

    def run(files, *arguments, output="prepared"):
        source = tmp_path / f"{output}-input"
        for name, content in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        target = tmp_path / output
        places = [
            part
            for name in ("train", "validation", "test", "report")
            for part in (f"--{name}", str(target / name))
        ]
        return main(["--input", str(source), *places, *arguments]), target

    return run


@pytest.fixture(scope="session")
def tickets(tmp_path_factory):
    """A third of the example tickets, prepared."""
    from prepare import main

    root = tmp_path_factory.mktemp("tickets")
    lines = (ROOT / "examples" / "tickets" / "data.csv").read_text().splitlines(keepends=True)
    (root / "raw").mkdir()
    (root / "raw" / "data.csv").write_text("".join(lines[:140]))
    places = [f"--{n}={root / n}" for n in ("train", "validation", "test", "report")]
    main(["--input", str(root / "raw"), "--validation-fraction=0.2", *places])
    return root
