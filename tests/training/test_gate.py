"""What the gate asks, of which figure, and the sentence in which it says so."""

import pytest

from gate import GateError, Margin, Requirement, check_names, decide
from scored import names

METRICS = {
    "accuracy": {"value": 0.912, "standard_error": 0.01, "confidence_interval": [0.89, 0.93]},
    "f1": {"value": 0.9, "standard_error": 0.01, "confidence_interval": [0.88, 0.92]},
    "roc_auc": {"value": None, "standard_error": None, "confidence_interval": None},
}


def compared(candidate, approved):
    difference = None if candidate is None else round(candidate - approved, 6)
    return {
        "version": "3",
        "metrics": {
            "accuracy": {"approved": approved, "candidate": candidate, "difference": difference}
        },
    }


def ask(*requirements, margin=None, comparison=None):
    return decide(
        [Requirement.parse(text) for text in requirements],
        None if margin is None else Margin.parse(margin),
        METRICS,
        comparison,
        rows=300,
    )


@pytest.mark.parametrize(
    ("requirement", "passed", "measured", "message"),
    [
        ("accuracy:value:0.95", 0, 0.912, "accuracy is 0.912, at least 0.95 is asked"),
        ("accuracy:value:0.912", 1, 0.912, "accuracy is 0.912, at least 0.912 is asked"),
        (
            "accuracy:lower:0.9",
            0,
            0.89,
            "the lower end of accuracy's 95 % interval is 0.890, at least 0.9 is asked",
        ),
        ("accuracy:value:0.91204", 0, 0.912, "accuracy is 0.91200, at least 0.91204 is asked"),
        (
            "roc_auc:value:0.5",
            0,
            None,
            "roc_auc is not defined on these rows, at least 0.5 is asked",
        ),
    ],
)
def test_a_requirement_is_answered_with_both_figures(requirement, passed, measured, message):
    found = ask(requirement)
    assert found["passed"] == passed
    assert found["message"] == message
    metric, of, at_least = requirement.split(":")
    assert found["requirements"] == [
        {
            "metric": metric,
            "of": of,
            "at_least": float(at_least),
            "measured": measured,
            "passed": passed,
        }
    ]
    # JsonGet compares numbers: true and false would be none.
    assert type(found["passed"]) is int


def test_all_must_pass_and_only_what_failed_is_said():
    found = ask("accuracy:value:0.9", "f1:value:0.95", "f1:lower:0.9")
    assert [r["passed"] for r in found["requirements"]] == [1, 0, 0]
    assert found["passed"] == 0
    assert found["message"] == (
        "f1 is 0.900, at least 0.95 is asked; "
        "the lower end of f1's 95 % interval is 0.880, at least 0.9 is asked"
    )


@pytest.mark.parametrize(
    ("candidate", "approved", "margin", "passed", "said"),
    [
        (0.912, 0.910, "accuracy:0.005", 0, "better by 0.002, at least 0.005 is asked"),
        (0.912, 0.907, "accuracy:0.005", 1, "better by 0.005, at least 0.005 is asked"),
        (0.9, 0.92, "accuracy:-0.05", 1, "worse by 0.020, at least -0.05 is asked"),
        (0.91, 0.91, "accuracy:0", 1, "equal, at least 0 is asked"),
    ],
)
def test_a_margin_is_over_the_approved_version_on_the_same_rows(
    candidate, approved, margin, passed, said
):
    found = ask(margin=margin, comparison=compared(candidate, approved))
    assert (found["passed"], found["margin"]["passed"]) == (passed, passed)
    assert found["message"] == (
        f"accuracy is {candidate:.3f} against {approved:.3f} of version 3 "
        f"on the same 300 rows: {said}"
    )
    assert found["margin"]["difference"] == round(candidate - approved, 6)


def test_a_margin_that_cannot_be_measured_fails():
    found = ask(margin="accuracy:0.1", comparison=compared(None, 0.9))
    assert found["passed"] == 0
    assert "accuracy is not defined on these rows" in found["message"]


@pytest.mark.parametrize(
    ("comparison", "said"),
    [
        (None, "no version is approved yet"),
        ({"version": "3", "skipped": "its classes are others"}, "its classes are others"),
    ],
)
def test_without_a_comparison_the_margin_passes_with_a_note(comparison, said):
    found = ask("accuracy:value:0.9", margin="accuracy:0.005", comparison=comparison)
    assert found["passed"] == 1
    assert said in found["margin"]["note"]
    assert said in found["message"]


def test_the_message_stays_within_a_thousand_characters():
    found = ask(*["accuracy:value:0.95"] * 60)
    assert len(found["message"]) == 1000
    assert found["message"].endswith("…")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accuracy", "must be METRIC:OF:AT_LEAST"),
        ("accuracy:upper:0.9", "OF one of value, lower"),
        ("accuracy:value:good", "'good' in 'accuracy:value:good' is not a number"),
        ("accuracy:value:nan", "not a number"),
    ],
)
def test_a_requirement_that_says_nothing_is_refused(text, said):
    with pytest.raises(GateError, match=said):
        Requirement.parse(text)


@pytest.mark.parametrize("text", ["accuracy", "accuracy:value:0.1", "accuracy:much"])
def test_a_margin_that_says_nothing_is_refused(text):
    with pytest.raises(GateError, match="--margin"):
        Margin.parse(text)


@pytest.mark.parametrize(
    ("metric", "problem", "labels", "said"),
    [
        ("f1_binary", "single-label", "abc", "no figure 'f1_binary' of this single-label model"),
        ("f1_binary", "multi-label", "ab", "ask for one of accuracy, f1, precision"),
        ("ece", "single-label", "ab", "less is better"),
    ],
)
def test_a_figure_that_the_problem_lacks_is_refused_with_those_it_has(
    metric, problem, labels, said
):
    with pytest.raises(GateError, match=said):
        check_names([Requirement(metric, "value", 0.9)], None, names(problem, labels), problem)
    with pytest.raises(GateError, match="--margin"):
        check_names([], Margin(metric, 0.1), names(problem, labels), problem)


def test_two_classes_have_binary_figures():
    check_names(
        [Requirement("f1_binary", "lower", 0.9)], None, names("single-label", "ab"), "single-label"
    )
