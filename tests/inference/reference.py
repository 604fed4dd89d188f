"""What the pipelines of transformers 4.51 answer: the newest version no longer has all of them.

Run by that version's Python with a folder, it builds the models there and answers the cases.
"""

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"
EXACT = 1e-5
# Kept for the session.
_folder = tempfile.TemporaryDirectory(prefix="tiny-tasks-")

PARIS = "Anna lives in Paris. Bert works at Berlin, where the courier is late, not please!"
LONG = " ".join(f"{PARIS} Invoice {i} was charged twice." for i in range(12))
PAIR = {"question": "Where lives Anna?", "context": PARIS}
LONG_PAIR = {"question": "When?", "context": LONG}

QUESTIONS = [
    (model, inputs, parameters)
    for model in ("reader", "roberta-reader", "left-reader")
    for inputs, parameters in (
        (PAIR, {}),
        ([PAIR], {}),
        ([PAIR, {"question": "who?", "context": "bert"}], {}),
        (PAIR, {"top_k": 4}),
        (PAIR, {"top_k": 3, "max_answer_len": 1}),
        (PAIR, {"align_to_words": False, "top_k": 5}),
        (PAIR, {"handle_impossible_answer": True, "top_k": 3}),
        (PAIR, {"max_question_len": 2}),
        (LONG_PAIR, {"max_seq_len": 40, "doc_stride": 10, "top_k": 3}),
        (LONG_PAIR, {"max_seq_len": 48, "handle_impossible_answer": True}),
        (
            {"question": "who?", "context": PARIS},
            # So many that having no answer is among them, as unlikely as the least of windows.
            {
                "max_seq_len": 18,
                "doc_stride": 4,
                "max_answer_len": 1,
                "handle_impossible_answer": True,
                "top_k": 100,
            },
        ),
        # More than there are spans, so that some of no probability are given.
        ({"question": "who?", "context": "bert, anna"}, {"top_k": 40}),
        (LONG_PAIR, {"max_answer_len": 30, "max_seq_len": 60, "doc_stride": 0, "top_k": 20}),
        ({"question": "  ?", "context": " \n\t "}, {}),
        (
            {"question": "Wo? 🙂", "context": "Größe — 東京 🙂 e\u0301 \x07 [SEP] </s> ok"},
            {"top_k": 2},
        ),
    )
]
TEXTS = ["please refund the invoice", "Bert lives in Paris."]
TRANSLATED = {"src_lang": "en_XX", "tgt_lang": "ro_RO"}
GENERATIONS = [
    *[
        (model, task, inputs, parameters)
        for model in ("t5", "bart", "marian")
        for task, inputs, parameters in (
            ("summarization", TEXTS[0], {}),
            ("summarization", TEXTS, {"max_new_tokens": 9, "num_beams": 1, "min_length": 0}),
            ("translation_en_to_de", TEXTS[1], {}),
            ("translation", [TEXTS[1]], {"max_length": 10}),
            ("text2text-generation", TEXTS, {}),
            ("text2text-generation", TEXTS, {"num_beams": 3, "num_return_sequences": 2}),
            ("text2text-generation", TEXTS[0], {"repetition_penalty": 1.7, "min_new_tokens": 12}),
            ("text2text-generation", "", {"max_new_tokens": 5}),
            ("text2text-generation", TEXTS[0], {"clean_up_tokenization_spaces": True}),
            ("text2text-generation", LONG, {"truncation": True, "max_new_tokens": 12}),
            (
                "text2text-generation",
                TEXTS,
                {
                    "num_beams": 4,
                    "length_penalty": -2.0,
                    "early_stopping": "never",
                    "max_length": 25,
                },
            ),
            (
                "text2text-generation",
                # For a list, the pipeline's loader draws a random number of its own.
                TEXTS[0],
                {"do_sample": True, "num_beams": 1, "temperature": 1.4, "top_p": 0.9, "seed": 5},
            ),
        )
    ],
    ("mbart", "translation", TEXTS, TRANSLATED),
    ("mbart", "translation", TEXTS[0], {**TRANSLATED, "tgt_lang": "fr_XX", "num_beams": 3}),
]


@functools.cache
def models() -> Path:
    """The folder with the models, and with what the pipelines of 4.51 answer."""
    run = subprocess.run(
        [PYTHON, "-W", "ignore", "-m", "tests.inference.reference", _folder.name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-6000:]
    return Path(_folder.name)


@functools.cache
def answers() -> dict[str, list[object]]:
    return json.loads((models() / "answers.json").read_text())


def assert_same(ours: object, theirs: object, where: str = "answer") -> None:
    """Equal in shape and text, and to 1e-5 in numbers, as JSON has them."""
    # Pipelines give numbers of NumPy.
    theirs = json.loads(json.dumps(theirs, default=float))
    _compare(json.loads(json.dumps(ours, allow_nan=False)), theirs, where)


def _compare(ours: object, theirs: object, where: str) -> None:
    assert type(ours) is type(theirs), (where, ours, theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for name in ours:
            _compare(ours[name], theirs[name], f"{where}.{name}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), (where, ours, theirs)
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            _compare(one, other, f"{where}[{i}]")
    elif isinstance(ours, float):
        assert abs(ours - theirs) <= EXACT, (where, ours, theirs)
    else:
        assert ours == theirs, where


def main(folder: Path) -> None:
    from tests.inference import tiny_tasks

    tiny_tasks.build(folder)
    found = {
        "questions": [_question(folder, *case) for case in QUESTIONS],
        "generations": [_generation(folder, *case) for case in GENERATIONS],
    }
    (folder / "answers.json").write_text(json.dumps(found))


@functools.cache
def _pipeline(folder: Path, model: str, task: str):
    from transformers import pipeline

    return pipeline(task, model=str(folder / model), device="cpu")


def _question(folder: Path, model: str, inputs: object, parameters: dict) -> object:
    pipe = _pipeline(folder, model, "question-answering")
    # Where the tokenizer has no limit, the model has.
    return pipe(inputs, **{"max_seq_len": 60, **parameters})


def _generation(folder: Path, model: str, task: str, inputs: object, parameters: dict) -> object:
    import torch

    pipe = _pipeline(folder, model, task)
    torch.manual_seed(parameters.get("seed", 0))
    return pipe(inputs, **{name: value for name, value in parameters.items() if name != "seed"})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
