"""The scripts' tests once more, under the transformers of the training image."""

from tests.training.other_environments import scripts_hold_their_promises


def test_the_scripts_hold_the_same_promises_under_transformers_of_the_training_image():
    scripts_hold_their_promises("transformers456", "4.56.")
