"""The hold on MiniStack: its version, the private names used, and where they are used."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from local import lifecycle, ministack


def test_every_private_name_is_where_it_is_expected():
    assert list(ministack.moved_names()) == []
    ministack.check()


@pytest.mark.parametrize(
    ("name", "expected", "complaint"),
    [
        ("services.eventbridge:_put_event", "(data)", "services.eventbridge:_put_event is gone"),
        ("services.nothing:_at_all", "dict", "services.nothing:_at_all is gone"),
        (
            "services.eventbridge:_put_events",
            "(entries)",
            "is (data, allow_aws_source=False), expected (entries)",
        ),
    ],
)
def test_a_moved_name_is_reported_and_refused_at_the_start(monkeypatch, name, expected, complaint):
    monkeypatch.setitem(ministack.PRIVATE_NAMES, name, expected)
    assert any(complaint in moved for moved in ministack.moved_names())
    with pytest.raises(ministack.MiniStackVersionError, match=re.escape(complaint)):
        ministack.check()


@pytest.mark.parametrize("version", ["1.5.34", "none"])
def test_another_version_is_refused_with_the_way_out(monkeypatch, version):
    def installed(package):
        if version == "none":
            raise ministack.metadata.PackageNotFoundError(package)
        return version

    monkeypatch.setattr(ministack.metadata, "version", installed)
    with pytest.raises(
        ministack.MiniStackVersionError,
        match=rf"version {version} is installed.* exactly 1\.5\.33: run pip install",
    ):
        ministack.check()


def test_a_name_that_is_not_listed_cannot_be_used():
    with pytest.raises(KeyError, match="not in PRIVATE_NAMES"):
        ministack.private("services.eventbridge:_now_ts")


# Mends the gateway's gaps by the names that ministack.py keeps.
MENDERS = ("ministack.py", "api_gateway.py", "caller_rights.py", "firewall.py")


def test_no_other_file_touches_ministack():
    for file in (lifecycle.CHECKOUT / "local").rglob("*.py"):
        text = file.read_text()
        if file.name != "ministack.py":
            assert "private(" not in text or file.name in MENDERS, file
            assert not re.search(r"^\s*(import|from) ministack\b", text, re.MULTILINE), file


def test_looking_for_the_server_imports_neither_ministack_nor_boto3():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, local.lifecycle; print(*sys.modules)"],
        cwd=lifecycle.CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"ministack", "boto3", "botocore"} & set(loaded)
