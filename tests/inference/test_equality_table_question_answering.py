"""Table question answering: the plain pipeline's answers, of each version of transformers."""

import copy

import pytest
from transformers import pipeline

from fault import Fault
from tasks import table_question_answering
from tests.inference import reference

TABLE = {
    "who": ["anna", "bert", "the courier"],
    "lives": ["paris", "berlin", "paris"],
    "fee": ["56", "45.5", "9"],
}
# The second is answered otherwise where it builds on the first.
QUERIES = ["who lives in paris", "how many", "average fee"]
LONG = {"who": ["anna", "bert"] * 100, "fee": [str(i) for i in range(200)]}


@pytest.fixture(scope="module")
def task():
    return table_question_answering.load(reference.models() / "tapas", "cpu")


@pytest.fixture(scope="module")
def pipe():
    model = str(reference.models() / "tapas")
    return pipeline("table-question-answering", model=model, device="cpu")


def ask(task, inputs, **parameters):
    (answer,) = task.answer([task.read({"inputs": inputs, "parameters": parameters})])
    return answer


@pytest.mark.parametrize("sequential", [False, True])
def test_answers_equal_the_pipelines(task, pipe, sequential):
    one = {"query": QUERIES[0], "table": TABLE}
    several = {"query": QUERIES, "table": TABLE}
    for inputs in (one, several, [one], [one, several], [several, one, one]):
        # The pipeline replaces the tables of what it is given.
        expected = pipe(copy.deepcopy(inputs), sequential=sequential)
        reference.assert_same(ask(task, inputs, sequential=sequential).value, expected)


def test_the_answers_differ_with_the_questions(task):
    answers = ask(task, {"query": QUERIES, "table": TABLE}).value
    assert len({str(answer) for answer in answers}) > 1


def test_the_flat_form_is_answered_too(task):
    flat = task.read({"query": QUERIES[0], "table": TABLE})
    expected = ask(task, {"query": QUERIES[0], "table": TABLE}).value
    reference.assert_same(task.answer([flat])[0].value, expected)
    assert ask(task, []).value == []


def test_a_table_that_is_too_long_loses_its_last_rows_and_is_counted(task, pipe):
    short = {name: cells[:30] for name, cells in LONG.items()}
    answer = ask(task, {"query": "who", "table": short})
    assert answer.cut == 1
    reference.assert_same(answer.value, pipe({"query": "who", "table": copy.deepcopy(short)}))
    # More rows than the model tells apart.
    assert ask(task, {"query": "who", "table": LONG}).cut == 1
    assert ask(task, {"query": "who", "table": TABLE}).cut == 0


def test_a_query_that_leaves_no_room_costs_no_other(task):
    good = task.read({"inputs": {"query": "who", "table": TABLE}})
    bad = task.read({"inputs": {"query": "who " * 200, "table": TABLE}})
    answers = task.answer([good, bad, good])
    assert (answers[1].code, answers[1].fault) == ("too_long", "client")
    reference.assert_same(answers[0].value, answers[2].value)


def test_what_is_no_table_is_the_callers_fault(task):
    for inputs, field in (
        (None, "inputs"),
        ("who", "inputs"),
        ({"query": "who"}, "inputs"),
        ({"query": "", "table": TABLE}, "inputs.query"),
        ({"query": [], "table": TABLE}, "inputs.query"),
        ({"query": ["who", 3], "table": TABLE}, "inputs.query"),
        ({"query": "who", "table": {}}, "inputs.table"),
        ({"query": "who", "table": {"a": []}}, "inputs.table"),
        ({"query": "who", "table": {"a": ["1"], "b": ["1", "2"]}}, "inputs.table"),
        ({"query": "who", "table": {"a": ["1", 2]}}, "inputs.table.a[1]"),
        ([{"query": "who", "table": TABLE}, {"query": "who", "table": "a"}], "inputs[1].table"),
    ):
        with pytest.raises(Fault) as caught:
            task.read({"inputs": inputs})
        assert (caught.value.code, caught.value.fault) == ("invalid_input", "client"), inputs
        assert caught.value.field == field
    with pytest.raises(Fault) as caught:
        task.read({"inputs": {"query": "who " * 3_000, "table": TABLE}})
    assert (caught.value.code, caught.value.field) == ("too_long", "inputs.query")
    for table in (
        {"a": ["1" * 100_001]},
        {"a": ["1"] * 10_001},
        {str(i): ["1"] for i in range(40)},
    ):
        with pytest.raises(Fault) as caught:
            task.read({"inputs": {"query": "who", "table": table}})
        assert caught.value.code == "too_long"


def test_whatever_the_cells_hold_there_is_an_answer(task):
    for text in ("", "\x00", "🙂", "1e999", "-0", "٣", "²", "2020-02-30", "1/0", "\u202e", "nan"):
        table = {"who": [text, "anna"], text: ["1", text]}
        for query in ("who", text or "?"):
            answer = ask(task, {"query": query, "table": table})
            assert not isinstance(answer, Fault), (text, answer)


def test_scores_that_are_no_numbers_are_the_models_fault():
    task = table_question_answering.load(reference.models() / "tapas", "cpu")
    task._pipe.model.output_weights.data[:] = float("nan")
    fault = ask(task, {"query": "who", "table": TABLE})
    assert (fault.code, fault.fault) == ("model_output", "server")


def test_the_warm_up_is_answered(task):
    (answer,) = task.answer([task.read(task.warm_up)])
    assert not isinstance(answer, Fault)
