"""A classifier that ONNX Runtime computes: neither torch nor transformers is imported."""

import json
from pathlib import Path

from engine.classifier import Classifier, Labels
from engine.classifier_thresholds import thresholds
from engine.onnx_runner import OnnxRunner
from engine.onnx_tokens import FileTokens
from engine.threads import threads_per_worker
from fault import Fault

GRAPHS = {False: "model.onnx", True: "model-int8.onnx"}
# Tokens of a forward pass, and the share of them that may be padding.
BUDGET = 512
MOST_PADDING = 0.1


def load(model_dir: Path, *, int8: bool) -> Classifier:
    """Load what packaging wrote below onnx/; raise ImportError where ONNX Runtime is missing."""
    onnx_dir = model_dir / "onnx"
    for name in (GRAPHS[int8], "tokenizer.json", "tokens.json"):
        if not (onnx_dir / name).is_file():
            raise Fault("model_not_loaded", f"the artifact has no onnx/{name}", fault="server")
    return Classifier(
        tokens=FileTokens.load(onnx_dir),
        runner=OnnxRunner(onnx_dir / GRAPHS[int8], threads_per_worker()),
        labels=_labels(model_dir),
        budget=BUDGET,
        most_padding=MOST_PADDING,
    )


def _labels(model_dir: Path) -> Labels:
    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    id2label = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    names = [id2label[str(i)] for i in range(len(id2label))]
    return Labels(names, config.get("problem_type"), thresholds(model_dir, names))
