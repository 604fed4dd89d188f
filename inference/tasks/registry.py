"""From a task's name to the loaded task; what a task needs is imported when it is asked for."""

import logging
import re
from importlib import import_module
from pathlib import Path

from engine.classifier import Classifier
from fault import Fault
from tasks.task import Task

# Arithmetic over a classifier's logits: any engine serves them.
CLASSIFIERS = {
    "text-classification": "tasks.text_classification",
    "zero-shot-classification": "tasks.zero_shot",
}
# Model classes of transformers: torch serves them.
TRANSFORMERS = {
    "token-classification": "tasks.token_classification",
    "question-answering": "tasks.question_answering",
    "table-question-answering": "tasks.table_question_answering",
    "fill-mask": "tasks.fill_mask",
    "feature-extraction": "tasks.feature_extraction",
    "summarization": "tasks.sequence_to_sequence",
    "translation": "tasks.sequence_to_sequence",
    "text2text-generation": "tasks.sequence_to_sequence",
    "text-generation": "tasks.text_generation",
}
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}
TRANSLATION = re.compile(r"translation_[A-Za-z]+_to_[A-Za-z]+")
# An artifact that lacks what one needs is served by the next.
ENGINES = ("onnx-int8", "onnx", "torch")
GRAPHS = {"onnx-int8": "onnx/model-int8.onnx", "onnx": "onnx/model.onnx"}

logger = logging.getLogger("lectern")
_logged: set[str] = set()


def load(task: str, model_dir: str | Path, *, engine: str, device: str) -> Task:
    """Load the model of `model_dir` for a task, HF_TASK's name for it; raise a server's Fault.

    Tasks that are no classifiers are served by torch, whatever the engine. ONNX graphs run on
    the CPU, whatever the device.
    """
    name = task_of(task)
    if engine not in ENGINES:
        raise _unknown("LECTERN_ENGINE", engine, ENGINES)
    directory = Path(model_dir)
    if name in CLASSIFIERS:
        classifier = _classifier(directory, engine, device)
        loaded: Task = import_module(CLASSIFIERS[name]).load(classifier)
        return loaded
    if engine != "torch":
        _log_once(f"{name} is served by the engine torch: {engine} serves classifiers")
    module = import_module(TRANSFORMERS[name])
    # One module serves three tasks, and tells the languages of a translation by its name.
    several = list(TRANSFORMERS.values()).count(TRANSFORMERS[name]) > 1
    loaded = module.load(directory, device, task) if several else module.load(directory, device)
    return loaded


def task_of(name: str) -> str:
    """The task that a name or an alias stands for; raise a server's Fault for an unknown one."""
    task = "translation" if TRANSLATION.fullmatch(name) else ALIASES.get(name, name)
    if task not in CLASSIFIERS and task not in TRANSFORMERS:
        raise _unknown("HF_TASK", name, [*CLASSIFIERS, *TRANSFORMERS, *ALIASES])
    return task


def _classifier(directory: Path, engine: str, device: str) -> Classifier:
    for candidate in ENGINES[ENGINES.index(engine) : -1]:
        lacking = None
        if (directory / GRAPHS[candidate]).is_file():
            try:
                return _onnx(directory, candidate)
            except ImportError as error:
                lacking = f"ONNX Runtime cannot be imported ({error})"
            except Fault as fault:
                lacking = fault.message
        else:
            lacking = f"the artifact has no {GRAPHS[candidate]}"
        _log_once(f"the engine {candidate} cannot serve this model, the next one does: {lacking}")
    classifier: Classifier = import_module("engine.torch_classifier").load(directory, device)
    return classifier


def _onnx(directory: Path, engine: str) -> Classifier:
    module = import_module("engine.onnx_classifier")
    classifier: Classifier = module.load(directory, int8=engine == "onnx-int8")
    return classifier


def _log_once(message: str) -> None:
    if message not in _logged:
        _logged.add(message)
        logger.warning(message)


def _unknown(variable: str, given: str, allowed: list[str] | tuple[str, ...]) -> Fault:
    return Fault(
        "model_not_loaded",
        f"{variable}: one of {', '.join(allowed)} is served, got '{given[:40]}'",
        fault="server",
        field=variable,
        allowed=tuple(allowed),
    )
