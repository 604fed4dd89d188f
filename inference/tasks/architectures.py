"""The task that an artifact's own files speak of, for containers without HF_TASK."""

import json
from pathlib import Path

from fault import Fault

# What the name of a model class ends in; TAPAS answers about tables, though its name says less.
ARCHITECTURES = (
    ("TapasForQuestionAnswering", "table-question-answering"),
    ("ForSequenceClassification", "text-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForMaskedLM", "fill-mask"),
    ("ForCausalLM", "text-generation"),
    ("LMHeadModel", "text-generation"),
    ("ForConditionalGeneration", "text2text-generation"),
    ("MarianMTModel", "text2text-generation"),
)


def task_of_artifact(model_dir: str | Path) -> str:
    """The task in lectern.json, else that of the architecture in config.json; raise a Fault."""
    recorded = _read(Path(model_dir) / "lectern.json").get("task")
    if isinstance(recorded, str):
        return recorded
    named = _read(Path(model_dir) / "config.json").get("architectures")
    for architecture in named if isinstance(named, list) else []:
        for ending, task in ARCHITECTURES:
            if str(architecture).endswith(ending):
                return task
    raise Fault(
        "model_not_loaded",
        "HF_TASK is not set, and config.json names no architecture of a known task: set HF_TASK",
        fault="server",
        field="HF_TASK",
    )


def _read(file: Path) -> dict[str, object]:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
