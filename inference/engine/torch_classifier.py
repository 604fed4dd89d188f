"""The torch engine: fp32 on a CPU, half precision on a GPU."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from engine.classifier import Classifier, Encoded, Labels, Logits, RunFailed
from engine.classifier_thresholds import thresholds
from engine.pretrained import load_pretrained, not_loaded, positions
from engine.torch_tokens import TorchTokens

# Padded tokens a forward pass; small on a CPU, so that activations stay in its cache.
BUDGETS = {"cpu": 512, "cuda": 16384}
# On a GPU, a pass more costs more than some padding in it.
MOST_PADDING = {"cpu": 0.1, "cuda": 0.25}
# Two of one length, and a longer one.
PROBES = ("a", "b", "a b c d e f g h i j k l")
# What rounding changes, as a share of the largest logit, and no more.
SAME = {"cpu": 1e-4, "cuda": 2e-2}


class TorchRunner:
    """One model on one device."""

    def __init__(self, model: PreTrainedModel, device: str) -> None:
        self._model = model
        self._device = torch.device(device)
        self._takes = inspect.signature(model.forward).parameters
        # What it would keep for further tokens is of no use here.
        self._options = {"use_cache": False} if "use_cache" in self._takes else {}
        # On a CPU without AMX, half precision is some hundred times slower than fp32.
        self._half = self._device.type == "cuda"

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> Logits:
        inputs = {
            name: torch.from_numpy(array).to(self._device)
            for name, array in batch.items()
            if name in self._takes
        }
        try:
            logits = self._forward(inputs)
            if self._half and not np.isfinite(logits).all():
                # This model leaves the range of fp16, and would again.
                self._half = False
                logits = self._forward(inputs)
        except (RuntimeError, ValueError, IndexError) as error:
            raise RunFailed(f"{error}") from error
        return logits

    @torch.inference_mode()
    def _forward(self, inputs: Mapping[str, torch.Tensor]) -> Logits:
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            logits: Logits = self._model(**inputs, **self._options).logits.float().cpu().numpy()
        return logits


def load(model_dir: str | Path, device: str) -> Classifier:
    """Load a model artifact; raise a server's Fault that says why it cannot serve."""
    model, tokenizer = load_pretrained(Path(model_dir), AutoModelForSequenceClassification, device)
    kind = torch.device(device).type
    return _as_alone(
        Classifier(
            tokens=TorchTokens(tokenizer, positions(model, tokenizer)),
            runner=TorchRunner(model, device),
            labels=_labels(model.config, Path(model_dir)),
            budget=BUDGETS[kind],
            most_padding=MOST_PADDING[kind],
        ),
        SAME[kind],
    )


def _as_alone(classifier: Classifier, tolerance: float) -> Classifier:
    """The classifier with the largest batches in which a sequence is answered as it is alone.

    Models that mix tokens by convolution or Fourier transform see padding, and decoders that
    know no padding take no batch.
    """
    short, other, long = classifier.tokens.encode(PROBES, "longest_first")
    if _agree(classifier, [short, long], tolerance):
        return classifier
    if _agree(classifier, [short, other], tolerance):
        return replace(classifier, most_padding=0.0)
    return replace(classifier, budget=0)


def _agree(classifier: Classifier, batch: list[Encoded], tolerance: float) -> bool:
    alone = replace(classifier, budget=0).logits(batch)
    try:
        together = classifier.runner.logits(classifier.tokens.pad(batch))
    except RunFailed:
        return False
    return bool(np.abs(together - alone).max() <= tolerance * np.abs(alone).max())


def _labels(config: PretrainedConfig, model_dir: Path) -> Labels:
    names = [config.id2label.get(i) for i in range(config.num_labels)]
    if None in names:
        raise not_loaded("config.json: the keys of id2label must count from 0 without a gap")
    return Labels(names, config.problem_type, thresholds(model_dir, names))
