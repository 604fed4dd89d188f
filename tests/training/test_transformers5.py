"""The scripts' tests once more, under the newest transformers 5."""

from tests.training.other_environments import scripts_hold_their_promises


def test_the_scripts_hold_the_same_promises_under_transformers_5():
    scripts_hold_their_promises("transformers5", "5.")
