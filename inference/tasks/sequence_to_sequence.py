"""Summaries, translations and other texts from texts: transformers 5 has no pipelines for them.

Defaults, prefixes, languages and shapes are those of the pipelines of transformers 4.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerBase

from engine.pretrained import configured, load_pretrained, positions
from fault import Fault
from tasks import generation
from tasks.inputs import Texts, read_texts
from tasks.languages import Languages
from tasks.parameters import check, text, true_or_false
from tasks.task import Answer, Question, Task

# What a record's only field is called.
FIELDS = {"summarization": "summary_text", "translation": "translation_text"}
LANGUAGES = {"src_lang": text(20), "tgt_lang": text(20)}
PARAMETERS = {**generation.PARAMETERS, "truncation": true_or_false()}

Inputs = dict[str, Any]

logger = logging.getLogger("lectern")


class SequenceToSequence:
    """Generates one text after the other: in a batch, padding may change which token is next."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        task: str,
        prefix: str,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._prefix = prefix
        name = task.split("_")[0]
        self._field = FIELDS.get(name, "generated_text")
        self._limit = positions(model, tokenizer)
        self._decoder_limit = min(
            configured(model, "max_decoder_position_embeddings", "max_position_embeddings"),
            default=None,
        )
        self._languages = Languages(tokenizer, task) if name == "translation" else None
        self._allowed = {**PARAMETERS, **LANGUAGES} if self._languages else PARAMETERS
        self.warm_up: Mapping[str, Any] = {
            "inputs": "warm up",
            "parameters": {
                "max_new_tokens": 2,
                **(self._languages.examples if self._languages else {}),
            },
        }

    def read(self, document: Mapping[str, Any]) -> Question:
        inputs = read_texts(document, generation.MOST_TEXTS)
        parameters = check(document.get("parameters"), self._allowed)
        if self._languages:
            self._languages.check(parameters)
        fault = self._too_much(parameters, len(inputs.texts))
        if fault:
            raise fault
        return Question(inputs, parameters)

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        return [self._answered(question) for question in questions]

    def _answered(self, question: Question) -> Answer | Fault:
        inputs: Texts = question.inputs
        answers, cut = [], 0
        for one in inputs.texts:
            try:
                tokens, was_cut = self._tokens(one, question.parameters)
                answers.append(self._generated(tokens, question.parameters))
            except Fault as fault:
                return fault
            cut += was_cut
        if not inputs.several:
            return Answer(answers[0], cut)
        one_each = all(len(records) == 1 for records in answers)
        return Answer([records[0] for records in answers] if one_each else answers, cut)

    def _tokens(self, one: str, parameters: Mapping[str, Any]) -> tuple[Inputs, bool]:
        inputs = self._tokenised(one, parameters)
        length = inputs["input_ids"].shape[-1]
        if length == 0:
            raise Fault("invalid_input", "a text has no token for this model", field="inputs")
        if self._limit is None or length <= self._limit:
            return inputs, False
        if not parameters.get("truncation", True):
            raise Fault(
                "too_long",
                f"a text has {length} tokens, the model reads {self._limit}: shorten it, or leave "
                "truncation on",
                field="inputs",
            )
        return self._tokenised(one, parameters, truncation=True, max_length=self._limit), True

    def _tokenised(self, one: str, parameters: Mapping[str, Any], **options: object) -> Inputs:
        options |= {"return_tensors": "pt", "verbose": False}
        if self._languages and self._languages.several:
            inputs = self._languages.tokenise(one, parameters, options)
        else:
            inputs = dict(self._tokenizer(self._prefix + one, **options))
        # No model that generates takes them.
        inputs.pop("token_type_ids", None)
        return inputs

    @torch.inference_mode()
    def _generated(self, tokens: Inputs, parameters: Mapping[str, Any]) -> list[dict[str, str]]:
        given = {k: v for k, v in parameters.items() if k not in LANGUAGES}
        options = generation.options(given, self._tokenizer)
        inputs = {
            k: v.to(self._model.device) if isinstance(v, torch.Tensor) else v
            for k, v in tokens.items()
        }
        if "seed" in parameters:
            # Of each text, so that its answer does not depend on what comes before it.
            torch.manual_seed(parameters["seed"])
        try:
            sequences = self._model.generate(**inputs, **options)
        except (RuntimeError, ValueError, IndexError) as error:
            logger.warning("a text cannot be generated: %s", error)
            raise generation.failed(error) from error
        clean = parameters.get("clean_up_tokenization_spaces", False)
        return [
            {
                self._field: self._tokenizer.decode(
                    sequence, skip_special_tokens=True, clean_up_tokenization_spaces=clean
                )
            }
            for sequence in sequences
        ]

    def _too_much(self, parameters: Mapping[str, Any], texts: int) -> Fault | None:
        config = self._model.generation_config
        # In the order in which generate() heeds them.
        new_tokens = (
            parameters.get("max_new_tokens")
            or config.max_new_tokens
            or parameters.get("max_length")
            or config.max_length
            or generation.DEFAULT_NEW_TOKENS
        )
        limit = self._decoder_limit
        for name in ("max_new_tokens", "max_length"):
            if limit is not None and parameters.get(name, 0) > limit:
                return Fault(
                    "invalid_parameter",
                    f"parameters.{name} must be at most the {limit} tokens that the model writes, "
                    f"got {parameters[name]}",
                    field=f"parameters.{name}",
                )
        return generation.check_together(parameters, config.to_dict(), texts, new_tokens)


def load(model_dir: Path, device: str, task: str) -> Task:
    model, tokenizer = load_pretrained(model_dir, AutoModelForSeq2SeqLM, device)
    # From the file: transformers 5 knows neither of them.
    settings = json.loads((model_dir / "config.json").read_bytes())
    by_task = settings.get("task_specific_params") or {}
    if task == "translation":
        # Like transformers, which takes the first one where the name does not say which.
        task = next((name for name in by_task if name.startswith(task)), task)
    of_task = dict(by_task.get(task) or {})
    prefix = of_task.pop("prefix", settings.get("prefix"))
    config = model.generation_config
    config.update(**of_task)
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    return SequenceToSequence(model, tokenizer, task, prefix or "")
