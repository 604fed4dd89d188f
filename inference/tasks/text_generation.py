"""Text generation: what a prompt goes on with."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, BatchEncoding, TextGenerationPipeline, pipeline

from engine.pretrained import load_pretrained, positions
from fault import Fault
from tasks import generation
from tasks.inputs import Texts, read_texts
from tasks.parameters import check, text, true_or_false
from tasks.task import Answer, Question, Task

PARAMETERS = {
    **generation.PARAMETERS,
    "return_full_text": true_or_false(),
    # Goes before each prompt, but not into the answer.
    "prefix": text(2_000),
    "truncation": true_or_false(),
}

logger = logging.getLogger("lectern")


class TextGeneration:
    """The pipeline's answers, one prompt after the other: padding may change the next token.

    Of a prompt that leaves too little room for what is to come, the model reads the end.
    """

    warm_up: Mapping[str, Any] = {"inputs": "warm up", "parameters": {"max_new_tokens": 2}}

    def __init__(self, pipe: TextGenerationPipeline, limit: int | None) -> None:
        self._pipe = pipe
        self._limit = limit
        self._default, self._default_length = _defaults(pipe)

    def read(self, document: Mapping[str, Any]) -> Question:
        inputs = read_texts(document, generation.MOST_TEXTS)
        parameters = check(document.get("parameters"), PARAMETERS)
        for name, most in (("max_new_tokens", -1), ("max_length", 0)):
            if self._limit is not None and parameters.get(name, 0) > self._limit + most:
                raise Fault(
                    "invalid_parameter",
                    f"parameters.{name} must be at most {self._limit + most}, since the model "
                    f"reads and writes {self._limit} tokens, got {parameters[name]}",
                    field=f"parameters.{name}",
                )
        config = self._pipe.model.generation_config.to_dict()
        most = parameters.get("max_new_tokens") or parameters.get("max_length")
        fault = generation.check_together(
            parameters, config, len(inputs.texts), most or self._default
        )
        if fault:
            raise fault
        return Question(inputs, parameters)

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        return [self._answered(question) for question in questions]

    def _answered(self, question: Question) -> Answer | Fault:
        inputs: Texts = question.inputs
        answers, cut = [], 0
        for prompt in inputs.texts:
            try:
                answer = self._generated(prompt, question.parameters)
            except Fault as fault:
                return fault
            answers.append(answer.value)
            cut += answer.cut
        return Answer(answers if inputs.several else answers[0], cut)

    @torch.inference_mode()
    def _generated(self, prompt: str, parameters: Mapping[str, Any]) -> Answer:
        pipe = self._pipe
        asked = generation.options(parameters, pipe.tokenizer)
        if "clean_up_tokenization_spaces" in parameters:
            asked["clean_up_tokenization_spaces"] = parameters["clean_up_tokenization_spaces"]
        before, during, after = pipe._sanitize_parameters(**asked)
        during, after = {**pipe._forward_params, **during}, {**pipe._postprocess_params, **after}
        prefix = before.get("prefix", pipe._preprocess_params.get("prefix", ""))
        tokens = pipe.preprocess(prompt, prefix=prefix)
        length = tokens["input_ids"].shape[-1]
        keep, new_tokens = self._room(length, during.get("prefix_length", 0), parameters)
        if keep < length:
            self._cut(tokens, keep)
        # New tokens say the same.
        during = {k: v for k, v in during.items() if k not in ("max_length", "max_new_tokens")}
        if "seed" in parameters:
            # Of each prompt, so that its answer does not depend on what comes before it.
            torch.manual_seed(parameters["seed"])
        try:
            outputs = pipe.forward(tokens, **during, max_new_tokens=new_tokens)
        except (RuntimeError, ValueError, IndexError) as error:
            logger.warning("a prompt cannot be continued: %s", error)
            raise generation.failed(error) from error
        return Answer(pipe.postprocess(outputs, **after), cut=int(keep < length))

    def _room(
        self, length: int, prefix_length: int, parameters: Mapping[str, Any]
    ) -> tuple[int, int]:
        """How many tokens of a prompt are read, and how many new ones may follow."""
        limit = self._limit or math.inf
        total = parameters.get("max_length", self._default_length)
        if "max_new_tokens" in parameters:
            new = parameters["max_new_tokens"]
        elif total is None:
            # Nobody asked for so many: a short prompt is rather kept whole.
            new = min(self._default, max(limit - length, limit // 2))
        else:
            # A length counts the prompt, but not what goes before it.
            new = min(total + prefix_length, limit) - length
            if new < 1:
                raise _too_long(length, length + new - 1)
        if length + new > limit and not parameters.get("truncation", True):
            raise _too_long(length, limit - new)
        return int(min(length, limit - new)), int(new)

    def _cut(self, tokens: BatchEncoding, keep: int) -> None:
        """Leave the end of a prompt, after the token that begins it, where it has one."""
        ids = tokens["input_ids"][0]
        kept = torch.arange(len(ids) - keep, len(ids))
        if keep > 1 and ids[0] == self._pipe.tokenizer.bos_token_id:
            kept[0] = 0
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            if name in tokens:
                tokens[name] = tokens[name][:, kept]


def load(model_dir: Path, device: str) -> Task:
    model, tokenizer = load_pretrained(model_dir, AutoModelForCausalLM, device)
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer, device=device)
    return TextGeneration(pipe, positions(model, tokenizer))


def _defaults(pipe: TextGenerationPipeline) -> tuple[int, int | None]:
    """The new tokens that this version's pipeline generates unasked, or the whole length."""
    config = getattr(pipe, "generation_config", pipe.model.generation_config)
    of_version = getattr(pipe, "_default_generation_config", None)
    if config.max_new_tokens is not None:
        return config.max_new_tokens, None
    if config.max_length not in (None, generation.DEFAULT_NEW_TOKENS):
        return config.max_length, config.max_length
    if of_version is not None and config.max_length is None:
        return of_version.max_new_tokens, None
    return generation.DEFAULT_NEW_TOKENS, None


def _too_long(length: int, most: float) -> Fault:
    return Fault(
        "too_long",
        f"a prompt has {length} tokens, where {most} leave room for new ones: shorten it, or "
        "change parameters.max_new_tokens or max_length",
        field="inputs",
    )
