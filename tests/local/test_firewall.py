from __future__ import annotations

import pytest

from local import firewall
from local.ministack import private

STAGE = "arn:aws:apigateway:us-east-1::/restapis/abc/stages/local"
OLD, NEW = "arn:old", "arn:new"


@pytest.fixture
def stands_in_front(monkeypatch):
    monkeypatch.setattr(firewall, "_held", {})
    associations = private("services.waf:_associations")
    yield lambda: associations.get(STAGE)
    associations.pop(STAGE, None)


def put(acl):
    firewall.Association().create("name", {"ResourceArn": STAGE, "WebACLArn": acl})


def take(acl):
    firewall.Association().delete("id", {"ResourceArn": STAGE, "WebACLArn": acl})


def test_a_replaced_acl_stays_away(stands_in_front):
    put(OLD)
    put(NEW)
    take(OLD)
    assert stands_in_front() == NEW
    take(NEW)
    assert stands_in_front() is None


def test_a_replacement_that_is_rolled_back_leaves_the_one_before(stands_in_front):
    put(OLD)
    put(NEW)
    take(NEW)
    assert stands_in_front() == OLD


def test_an_association_under_another_name_outlives_the_first(stands_in_front):
    put(OLD)
    put(OLD)
    take(OLD)
    assert stands_in_front() == OLD


def test_one_of_an_earlier_server_counts(stands_in_front):
    private("services.waf:_associations")[STAGE] = OLD
    put(NEW)
    take(NEW)
    assert stands_in_front() == OLD


def rule(**statement):
    limited = {"Limit": 2, "AggregateKeyType": "IP", "EvaluationWindowSec": 60, **statement}
    return {"Name": "r", "Action": {"Block": {}}, "Statement": {"RateBasedStatement": limited}}


@pytest.fixture
def passes_at(monkeypatch):
    """Whether a rule lets requests at these seconds pass."""
    monkeypatch.setattr(firewall, "_seen", firewall.defaultdict(firewall.deque))

    def asked(judged, moments):
        found = []
        for moment in moments:
            monkeypatch.setattr(firewall.time, "monotonic", lambda moment=moment: moment)
            found.append(not firewall._exceeds("acl", judged))
        return found

    return asked


def test_more_than_the_limit_within_the_window_are_blocked(passes_at):
    assert passes_at(rule(), [0, 1, 2, 59, 200]) == [True, True, False, False, True]


@pytest.mark.parametrize(
    "other", [{"AggregateKeyType": "FORWARDED_IP"}, {"ScopeDownStatement": {"Not": {}}}]
)
def test_rules_of_other_kinds_block_nothing(passes_at, other):
    assert all(passes_at(rule(**other), range(5)))
