"""Asks a task, and holds what it answers against what another says."""

import pytest

from fault import Fault


def answers(task, *documents):
    """What the task says of all documents at once: an Answer or a Fault each."""
    return task.answer([task.read(document) for document in documents])


def ask(task, document):
    (answer,) = answers(task, document)
    if isinstance(answer, Fault):
        raise answer
    return answer.value


def refused(task, document):
    with pytest.raises(Fault) as caught:
        ask(task, document)
    assert caught.value.fault == "client"
    return caught.value


def same(ours, theirs):
    """Equal in shape and type, and scores to 1e-5."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, abs=1e-5)
    else:
        assert ours == theirs
