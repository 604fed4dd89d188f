"""Extractive question answering, by the model class: transformers 5 has no pipeline for it.

Scores, spans and shapes are those of the pipeline of transformers 4. A context longer than the
model reads is read in windows that overlap, so nothing of it is cut.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForQuestionAnswering
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from engine.pretrained import load_pretrained, not_loaded
from fault import Fault
from tasks.contexts import Asked, Contexts, Window
from tasks.encoder import Encoder, Output, not_finite
from tasks.inputs import check_count
from tasks.parameters import check, true_or_false, whole
from tasks.spans import best_spans
from tasks.task import Answer, Question, Task
from tasks.texts import checked

MOST_QUESTIONS = 1_000
PARAMETERS = {
    "top_k": whole(1, 100),
    "doc_stride": whole(0, 4_096),
    "max_answer_len": whole(1, 1_000),
    "max_seq_len": whole(8, 4_096),
    # Counts only where a question leaves its context too little room.
    "max_question_len": whole(1, 1_000),
    "handle_impossible_answer": true_or_false(),
    "align_to_words": true_or_false(),
}
FORMS = "an object with `question` and `context`, or a list of them"


class QuestionAnswering:
    """Finds the span of a context that answers a question, windows of all contexts together."""

    warm_up: Mapping[str, Any] = {"inputs": {"question": "what", "context": "warm up"}}

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._contexts = Contexts(encoder.tokenizer, encoder.limit)

    def read(self, document: Mapping[str, Any]) -> Question:
        # Without `inputs`, the document is itself the object with the question.
        given = document.get("inputs", document if "question" in document else None)
        return Question(_asked(given), check(document.get("parameters"), PARAMETERS))

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        windows = [self._all_windows(question) for question in questions]
        flat = [
            w if isinstance(w, Fault) else [one.encoded for asked in w for one in asked]
            for w in windows
        ]
        outputs = self._encoder.run(flat, lambda _question, _encoded, output: _finite(output))
        return [
            logits
            if isinstance(logits, Fault) or isinstance(each, Fault)
            else self._shaped(question, each, logits)
            for question, each, logits in zip(questions, windows, outputs, strict=True)
        ]

    def _all_windows(self, question: Question) -> list[list[Window]] | Fault:
        try:
            return [self._contexts.windows(one, question.parameters) for one in question.inputs]
        except Fault as fault:
            return fault

    def _shaped(
        self, question: Question, windows: Sequence[Sequence[Window]], logits: Sequence[Output]
    ) -> Answer:
        remaining = iter(logits)
        answers = [
            self._answers(
                asked,
                [(window, next(remaining)) for window in each],
                question.parameters,
            )
            for asked, each in zip(question.inputs, windows, strict=True)
        ]
        cut = sum(window.encoded.cut for each in windows for window in each)
        return Answer(answers[0] if len(answers) == 1 else answers, cut)

    def _answers(
        self, asked: Asked, windows: Sequence[tuple[Window, Output]], parameters: Mapping[str, Any]
    ) -> object:
        top_k = parameters.get("top_k", 1)
        answers, least_likely_none = [], math.inf
        for window, logits in windows:
            spans, none = best_spans(
                logits[0].numpy(),
                window.eligible,
                top_k=top_k,
                longest=parameters.get("max_answer_len", 15),
            )
            least_likely_none = min(least_likely_none, none)
            for span in spans:
                start, end = self._contexts.characters(
                    window.encoding, span, parameters.get("align_to_words", True)
                )
                text = asked.context[start:end]
                answers.append({"score": span.score, "start": start, "end": end, "answer": text})
        if parameters.get("handle_impossible_answer"):
            answers.append({"score": least_likely_none, "start": 0, "end": 0, "answer": ""})
        best = sorted(answers, key=lambda answer: answer["score"], reverse=True)[:top_k]
        return best[0] if len(best) == 1 else best


def load(model_dir: Path, device: str) -> Task:
    model, tokenizer = load_pretrained(model_dir, AutoModelForQuestionAnswering, device)
    if not tokenizer.is_fast:
        raise not_loaded("question-answering needs a tokenizer with a tokenizer.json")
    return QuestionAnswering(Encoder(model, tokenizer, _begins_and_ends))


def _begins_and_ends(output: QuestionAnsweringModelOutput) -> Output:
    return torch.stack([output.start_logits, output.end_logits], dim=-1)


def _finite(logits: Output) -> Output | Fault:
    return logits if torch.isfinite(logits).all() else not_finite()


def _asked(given: object) -> list[Asked]:
    if isinstance(given, list):
        check_count(given, MOST_QUESTIONS, "questions")
        return [_one(entry, f"inputs[{i}]") for i, entry in enumerate(given)]
    if isinstance(given, dict) and isinstance(given.get("question"), list):
        questions, contexts = given["question"], given.get("context")
        check_count(questions, MOST_QUESTIONS, "questions")
        if not isinstance(contexts, list):
            contexts = [contexts] * len(questions)
        if len(contexts) != len(questions):
            raise Fault(
                "invalid_input",
                f"inputs.context must be one text or {len(questions)}, one for each question, got "
                f"{len(contexts)}",
                field="inputs.context",
            )
        return [
            _one({"question": question, "context": context}, "inputs")
            for question, context in zip(questions, contexts, strict=True)
        ]
    return [_one(given, "inputs")]


def _one(given: object, field: str) -> Asked:
    if not isinstance(given, dict):
        raise Fault("invalid_input", f"{field} must be {FORMS}", field=field)
    for name in ("question", "context"):
        if not given.get(name):
            raise Fault(
                "invalid_input", f"{field}.{name} is missing or empty", field=f"{field}.{name}"
            )
    return Asked(*(checked(given[name], f"{field}.{name}") for name in ("question", "context")))
