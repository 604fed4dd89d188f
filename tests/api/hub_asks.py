"""Asks each task by `huggingface_hub.InferenceClient` as its users do; prints what came as JSON.

    python tests/api/hub_asks.py URL KEY {header|bearer} {sync|async}

Runs under whatever release of huggingface_hub its interpreter has; knows nothing of this project.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

import huggingface_hub
from huggingface_hub import AsyncInferenceClient, InferenceClient

TEXT = "my parcel is late"
LABELS = ["parcel", "password", "bill"]
TABLE = {"order": ["1", "2"], "price": ["10", "20"]}
Ask = Callable[[Any], Any]

ASKS: dict[str, tuple[str, Ask]] = {
    "classification": ("sorts", lambda client: client.text_classification(TEXT)),
    "best label": ("sorts", lambda client: client.text_classification(TEXT, top_k=1)),
    "zero-shot": (
        "judges",
        lambda client: client.zero_shot_classification(TEXT, LABELS, multi_label=True),
    ),
    "zero-shot, own hypothesis": (
        "judges",
        lambda client: client.zero_shot_classification(
            TEXT, LABELS, hypothesis_template="about {}"
        ),
    ),
    "spans": ("spans", lambda client: client.token_classification(TEXT)),
    "tokens": (
        "spans",
        lambda client: client.token_classification(TEXT, aggregation_strategy="none"),
    ),
    "answer": (
        "reads",
        lambda client: client.question_answering(question="where is my parcel", context=TEXT),
    ),
    "answers": (
        "reads",
        lambda client: client.question_answering(
            question="where is my parcel", context=TEXT, top_k=2
        ),
    ),
    "cells": (
        "looks-up",
        lambda client: client.table_question_answering(query="how late", table=TABLE),
    ),
    "masks": ("fills", lambda client: client.fill_mask("my [MASK] is late", top_k=3)),
    "vector": ("embeds", lambda client: client.feature_extraction(TEXT)),
    "similarity": (
        "embeds",
        lambda client: client.sentence_similarity(TEXT, other_sentences=[TEXT, "my bill"]),
    ),
    "summary": (
        "shortens",
        lambda client: client.summarization(TEXT, generate_parameters={"max_new_tokens": 4}),
    ),
    "translation": (
        "translates",
        lambda client: client.translation(TEXT, generate_parameters={"max_new_tokens": 4}),
    ),
    "generation": ("writes", lambda client: client.text_generation(TEXT, max_new_tokens=4)),
    "whole text": (
        "writes",
        lambda client: client.text_generation(TEXT, max_new_tokens=4, return_full_text=True),
    ),
    "stream": (
        "writes",
        lambda client: client.text_generation(TEXT, max_new_tokens=4, stream=True),
    ),
    # The last one: clients remember it, and then ask for no more streams.
    "a parameter that is not served": (
        "writes",
        lambda client: client.text_generation(TEXT, max_new_tokens=4, watermark=True),
    ),
}


async def ask(url: str, key: str, kind: str, client_class: Any) -> dict[str, Any]:
    """Every answer by its name."""
    found = {}
    for name, (model, send) in ASKS.items():
        given = {"headers": {"x-api-key": key}} if kind == "header" else {"token": key}
        client = client_class(model=f"{url}/hf/models/{model}", **given)
        found[name] = await whole(send(client))
    return found


async def whole(answer: Any) -> Any:
    """The answer itself, of a coroutine and of a stream too."""
    if inspect.isawaitable(answer):
        answer = await answer
    if inspect.isasyncgen(answer):
        return [piece async for piece in answer]
    if inspect.isgenerator(answer):
        return list(answer)
    return answer.tolist() if hasattr(answer, "tolist") else answer


def main(url: str, key: str, kind: str, how: str) -> None:
    """Ask everything and print it."""
    client_class = {"sync": InferenceClient, "async": AsyncInferenceClient}[how]
    found = asyncio.run(ask(url, key, kind, client_class))
    print(json.dumps({"version": huggingface_hub.__version__, "answers": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
