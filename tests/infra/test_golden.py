"""The whole templates of one stage: a change here is reviewed where it is made.

After a change that is meant: `python -m pytest tests/infra/test_golden.py --snapshot-update`.
"""

from __future__ import annotations

import json
import re

import pytest
from syrupy.extensions.json import JSONSnapshotExtension

STACKS = ["api", "batch", "inference", "release", "storage", "training"]


def masked(template):
    """The template without the digests of assets, which change with every line of a script."""
    return json.loads(re.sub(r"[0-9a-f]{64}", "ASSET", json.dumps(template)))


@pytest.mark.parametrize("stack", STACKS)
def test_the_template_is_the_one_that_was_reviewed(templates, stack, snapshot):
    assert masked(templates("dev")[stack]) == snapshot.use_extension(JSONSnapshotExtension)


def test_no_stack_is_left_out(templates):
    assert sorted(templates("dev")) == STACKS
