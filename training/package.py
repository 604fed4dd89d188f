"""Makes a model artifact ready to serve: our code, and ONNX graphs in fp32 and, if good, int8."""

import argparse
import gzip
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shipped
from artifact import unpack

if TYPE_CHECKING:
    from engine.classifier import Classifier

ARTIFACT = "model.tar.gz"
RECORD = "lectern.json"


class PackagingError(ValueError):
    """The model artifact cannot be packaged."""


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Write the packaged artifact and return what lectern.json says of its graphs."""
    args = _arguments(argv)
    if args.in_place:
        return package_directory(args.in_place, _rows_file(args.rows), int8=args.int8)
    source = args.model / ARTIFACT
    if not source.is_file():
        raise PackagingError(f"--model: {args.model} holds no {ARTIFACT}")
    with tempfile.TemporaryDirectory() as scratch:
        model_dir = Path(scratch)
        unpack(source, model_dir)
        record = package_directory(model_dir, _rows_file(args.rows), int8=args.int8)
        _add_code(model_dir / "code")
        args.output.mkdir(parents=True, exist_ok=True)
        _write_artifact(model_dir, args.output / ARTIFACT)
    return record


def package_directory(model_dir: Path, rows_file: Path, *, int8: bool) -> dict[str, Any]:
    """Add onnx/ to a model directory; return what its lectern.json then says under "onnx".

    `rows_file` holds validation rows as Prepare writes them: the graphs are compared on these.
    """
    shipped.add_wheels_to_path()
    record = _add_graphs(model_dir, rows_file, int8)
    _write_record(model_dir, record)
    return record


def _add_code(code: Path) -> None:
    shipped.copy_code(shipped.inference(), code)
    for python in shipped.unpack_runtime(code):
        print(f"ONNX Runtime for {python} travels in code/runtime/", flush=True)


def _add_graphs(model_dir: Path, rows_file: Path, int8: bool) -> dict[str, Any]:
    # The serving engine itself is what is compared. It and the exporter need the wheels.
    sys.path.insert(0, str(shipped.inference()))
    import onnx_export
    import onnx_gate

    texts = onnx_gate.read_texts(rows_file)
    if not texts:
        raise PackagingError(f"--rows: {rows_file.name} is empty, the graphs cannot be compared")
    onnx_dir = model_dir / "onnx"
    model, tokenizer = onnx_export.load_pretrained(model_dir)
    try:
        onnx_export.export(model, tokenizer, onnx_dir)
        exact = _load(model_dir, int8=False)
        difference = onnx_gate.difference_from_torch(model, tokenizer, exact, texts)
        if not difference <= onnx_gate.MOST_DIFFERENCE:
            raise onnx_export.ExportRefused(
                f"its probabilities differ from torch's by {difference:.2g}, "
                f"at most {onnx_gate.MOST_DIFFERENCE:g} is allowed"
            )
    except onnx_export.ExportRefused as refusal:
        _remove(onnx_dir)
        print(f"not exported, torch will serve: {refusal}", flush=True)
        return {"exported": False, "reason": str(refusal)}
    print(f"exported: at most {difference:.2g} from torch in probability", flush=True)
    print(f"METRIC onnx_max_difference={difference:.3g}", flush=True)
    record: dict[str, Any] = {"exported": True, "max_difference": float(f"{difference:.3g}")}
    del model
    if int8:
        import onnx_int8

        record["int8"] = onnx_int8.quantise(
            exact, model_dir, texts, load=lambda directory: _load(directory, int8=True)
        )
    return record


def _load(model_dir: Path, *, int8: bool) -> "Classifier":
    from engine import onnx_classifier

    return onnx_classifier.load(model_dir, int8=int8)


def _remove(folder: Path) -> None:
    for file in folder.glob("*"):
        file.unlink()
    if folder.is_dir():
        folder.rmdir()


def _write_record(model_dir: Path, record: dict[str, Any]) -> None:
    path = model_dir / RECORD
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = json.dumps({**known, "onnx": record}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _write_artifact(model_dir: Path, target: Path) -> None:
    """The same bytes for the same files: sorted names, no owners, no clocks."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=1) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(p for p in model_dir.rglob("*") if p.is_file()):
            entry = tarfile.TarInfo(path.relative_to(model_dir).as_posix())
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)
    print(f"wrote {ARTIFACT}: {target.stat().st_size:,} bytes", flush=True)


def _rows_file(path: Path) -> Path:
    file = path / "rows.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise PackagingError(f"--rows: {path} holds no rows.jsonl")
    return file


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="package", description=__doc__, allow_abbrev=False)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--model", type=Path, help=f"directory with {ARTIFACT}; with --output")
    place.add_argument("--in-place", type=Path, metavar="DIR", help="a model directory to complete")
    parser.add_argument("--rows", type=Path, required=True, help="validation rows: rows.jsonl")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--int8", type=_true_or_false, required=True, metavar="True|False")
    args = parser.parse_args(argv)
    if (args.model is None) != (args.output is None):
        parser.error("--model needs --output, --in-place takes none")
    return args


def _true_or_false(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be True or False, got '{text}'")
    return text.lower() == "true"


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        main()
    except (PackagingError, shipped.ShippingError) as error:
        sys.exit(f"package: {error}")
