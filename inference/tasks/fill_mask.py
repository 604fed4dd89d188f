"""Fill-mask: which tokens a text's masks stand for."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForMaskedLM, FillMaskPipeline, pipeline

from engine.pretrained import load_pretrained, not_loaded
from fault import Fault
from tasks.encoder import Encoded, Encoder, Output, not_finite
from tasks.inputs import read_texts
from tasks.parameters import Kind, check, text, texts, true_or_false, whole
from tasks.task import Answer, Question, Task

MOST_TEXTS = 1_000
MOST_TARGETS = 1_000
# Each proposition is a sequence of its own to decode.
MOST_PROPOSITIONS = 20_000
# A pass returns the whole vocabulary a token: 4 GiB with 250,000 words.
MOST_TOKENS = 4_096

_ONE, _SEVERAL = text(100), texts(MOST_TARGETS, 100)
PARAMETERS = {
    "top_k": whole(1, 1_000),
    "targets": Kind(
        f"a text of at most 100 characters, or a list of 1 to {MOST_TARGETS} of them",
        lambda value: _ONE.holds(value) or _SEVERAL.holds(value),
    ),
    "truncation": true_or_false(),
}
TOP_K = 5


class FillMask:
    """The pipeline's propositions, computed in batches of like length over all texts."""

    def __init__(self, encoder: Encoder, pipe: FillMaskPipeline) -> None:
        self._encoder = encoder
        self._pipe = pipe
        self._mask = encoder.tokenizer.mask_token
        self._mask_id = encoder.tokenizer.mask_token_id
        self.warm_up: Mapping[str, Any] = {"inputs": f"warm {self._mask}"}

    def read(self, document: Mapping[str, Any]) -> Question:
        inputs = read_texts(document, MOST_TEXTS)
        parameters = check(document.get("parameters"), PARAMETERS)
        if "targets" in parameters:
            self._target_ids(parameters["targets"])
        return Question(inputs, parameters)

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        encoded = [self._encoded(question) for question in questions]
        outputs = self._encoder.run(
            encoded,
            lambda question, one, logits: self._propositions(
                one, logits, questions[question].parameters
            ),
        )
        return [
            found
            if isinstance(found, Fault) or isinstance(sequences, Fault)
            else Answer(
                # Of a list of one, the pipeline answers its text alone.
                found if question.inputs.several and len(found) != 1 else found[0],
                sum(one.cut for one in sequences),
            )
            for question, sequences, found in zip(questions, encoded, outputs, strict=True)
        ]

    def _encoded(self, question: Question) -> list[Encoded] | Fault:
        encoded = self._encoder.encode(
            question.inputs.texts, truncation=question.parameters.get("truncation", True)
        )
        masks = [one.ids.count(self._mask_id) for one in encoded]
        for i, count in enumerate(masks):
            if count == 0:
                return self._without_mask(question, i, encoded[i])
        top_k = question.parameters.get("top_k", TOP_K)
        if sum(masks) * top_k > MOST_PROPOSITIONS:
            return Fault(
                "too_long",
                f"{sum(masks)} masks with a top_k of {top_k} ask for {sum(masks) * top_k} "
                f"propositions, at most {MOST_PROPOSITIONS} are made: send fewer masks, or lower "
                "parameters.top_k",
                field="inputs",
            )
        return self._encoder.unfit(encoded) or encoded

    def _without_mask(self, question: Question, i: int, encoded: Encoded) -> Fault:
        field = f"inputs[{i}]" if question.inputs.several else "inputs"
        if encoded.cut and self._mask in question.inputs.texts[i]:
            return Fault(
                "too_long",
                f"{field}: {self._mask} comes after the {self._encoder.limit} tokens that the "
                "model reads: shorten the text before it",
                field=field,
            )
        return Fault(
            "invalid_input",
            f"{field} must hold the mask token {self._mask}",
            field=field,
            allowed=(self._mask,),
        )

    def _propositions(
        self, encoded: Encoded, logits: Output, parameters: Mapping[str, Any]
    ) -> list[Any] | Fault:
        options: dict[str, Any] = {
            "top_k": min(parameters.get("top_k", TOP_K), logits.shape[-1]),
        }
        if "targets" in parameters:
            options["target_ids"] = self._target_ids(parameters["targets"])
        outputs = {"input_ids": torch.tensor([encoded.ids]), "logits": logits}
        found: list[Any] = self._pipe.postprocess(outputs, **options)
        # Of several masks, it is a list for each.
        of_masks = found if isinstance(found[0], list) else [found]
        finite = all(math.isfinite(one["score"]) for mask in of_masks for one in mask)
        return found if finite else not_finite()

    def _target_ids(self, targets: str | list[str]) -> NDArray[np.int64]:
        try:
            ids: NDArray[np.int64] = self._pipe.get_target_ids(targets)
        except ValueError as error:
            raise self._unknown_targets() from error
        if ids.max() >= self._pipe.model.config.vocab_size:
            raise self._unknown_targets()
        return ids

    def _unknown_targets(self) -> Fault:
        return Fault(
            "invalid_parameter",
            "parameters.targets names no token of this model",
            field="parameters.targets",
        )


def load(model_dir: Path, device: str) -> Task:
    model, tokenizer = load_pretrained(model_dir, AutoModelForMaskedLM, device)
    if tokenizer.mask_token is None:
        raise not_loaded("fill-mask needs a tokenizer with a mask token, this one has none")
    encoder = Encoder(model, tokenizer, lambda output: output.logits, most_tokens=MOST_TOKENS)
    return FillMask(encoder, pipeline("fill-mask", model=model, tokenizer=tokenizer, device=device))
