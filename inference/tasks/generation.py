"""What tasks that generate text share: their parameters, bounds, and a guard on the scores."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
    StopStringCriteria,
)

from fault import Fault
from tasks.parameters import Kind, number, text, texts, true_or_false, whole

MOST_TEXTS = 100
MOST_NEW_TOKENS = 4_096
# Sequences times new tokens of one request, beams counted: minutes on a CPU.
MOST_WORK = 65_536
# What transformers generates where nobody says how much.
DEFAULT_NEW_TOKENS = 20

_STOP, _STOPS = text(100), texts(8, 100)
PARAMETERS = {
    "max_new_tokens": whole(1, MOST_NEW_TOKENS),
    "min_new_tokens": whole(0, MOST_NEW_TOKENS),
    "max_length": whole(1, 2 * MOST_NEW_TOKENS),
    "min_length": whole(0, 2 * MOST_NEW_TOKENS),
    "num_beams": whole(1, 16),
    "do_sample": true_or_false(),
    "temperature": number(0.01, 100),
    "top_k": whole(0, 10_000),
    "top_p": number(0, 1),
    "repetition_penalty": number(0.01, 100),
    "length_penalty": number(-100, 100),
    "no_repeat_ngram_size": whole(0, 1_000),
    "early_stopping": Kind(
        "true, false or never",
        lambda value: isinstance(value, bool) or value == "never",
        ("true", "false", "never"),
    ),
    "num_return_sequences": whole(1, 16),
    "clean_up_tokenization_spaces": true_or_false(),
    # Ours: what is sampled is then the same each time.
    "seed": whole(0, 2**32 - 1),
    # Ours: generation ends with the first of these texts, which is given too.
    "stop": Kind(
        "a text of 1 to 100 characters, or a list of 1 to 8 of them",
        lambda value: (
            (_STOP.holds(value) or _STOPS.holds(value))
            and all([value] if isinstance(value, str) else value)
        ),
    ),
}
# Not for generate(), but for what comes before and after it.
OURS = ("clean_up_tokenization_spaces", "seed", "stop", "truncation")


class NotFinite(RuntimeError):
    """The model's scores are not finite."""


class Guard(LogitsProcessor):
    """Stops a generation whose scores are no numbers, which would be text all the same."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        # Processors before this one forbid tokens by minus infinity.
        if torch.isnan(scores).any() or torch.isposinf(scores).any():
            raise NotFinite
        return scores


def options(given: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What generate() gets of a request's parameters; raise a client's Fault for one it refuses."""
    chosen = {name: value for name, value in given.items() if name not in OURS}
    chosen["logits_processor"] = LogitsProcessorList([Guard()])
    if "stop" in given:
        try:
            criterion = StopStringCriteria(tokenizer, given["stop"])
        except ValueError as error:
            raise Fault(
                "invalid_parameter",
                "parameters.stop holds characters that this model never writes",
                field="parameters.stop",
            ) from error
        chosen["stopping_criteria"] = StoppingCriteriaList([criterion])
    return chosen


def check_together(
    given: Mapping[str, Any], defaults: Mapping[str, Any], sequences: int, new_tokens: int
) -> Fault | None:
    """The Fault of parameters that exclude each other, or ask together for too much."""
    effective = {**defaults, **given}
    beams, returned = (effective.get(name) or 1 for name in ("num_beams", "num_return_sequences"))
    if returned > beams and not (effective.get("do_sample") and beams == 1):
        return Fault(
            "invalid_parameter",
            f"parameters.num_return_sequences: {returned} sequences need do_sample with one beam, "
            f"or num_beams of {returned} or more",
            field="parameters.num_return_sequences",
        )
    work = sequences * max(beams, returned) * new_tokens
    if work > MOST_WORK:
        return Fault(
            "too_long",
            f"{sequences} texts, {max(beams, returned)} sequences each, of {new_tokens} tokens "
            f"make {work}, at most {MOST_WORK} are generated at once: send fewer texts, or lower "
            "parameters.max_new_tokens, num_beams or num_return_sequences",
            field="parameters.max_new_tokens",
        )
    return None


def failed(error: Exception) -> Fault:
    """The Fault of what generate() raised."""
    if isinstance(error, NotFinite):
        return Fault("model_output", "the model's scores are not finite", fault="server")
    if isinstance(error, ValueError):
        return Fault(
            "invalid_parameter",
            "parameters: these values cannot be combined for this model: leave some out",
            field="parameters",
        )
    return Fault("model_output", "the model cannot compute this input", fault="server")
