"""Runs train.py in this process on given rows and base, in seconds."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

import train

QUICK = ("--epochs=2", "--max_length=24", "--batch_size=16", "--learning_rate=3e-3")


def train_on(data: Path, base: Path, model_dir: Path, *arguments: str) -> dict[str, float]:
    return train.main([*channels(data, base, model_dir), *QUICK, *arguments])


def channels(data: Path, base: Path, model_dir: Path) -> list[str]:
    places = {"train": data / "train", "validation": data / "validation", "base": base}
    return [f"--{n}={path}" for n, path in {**places, "model_dir": model_dir}.items()]


def record_of(model_dir: Path) -> dict:
    return json.loads((model_dir / "lectern.json").read_text())


def weights_of(model_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(model_dir / "model.safetensors")


def largest_difference(one: Path, other: Path) -> float:
    """Of any weight, but for the biases of keys.

    Softmax cancels those: their gradients are rounding errors, of which Adam makes whole steps.
    """
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    names = [name for name in first if not name.endswith("key.bias")]
    return max(float((first[name] - second[name]).abs().max()) for name in names)
