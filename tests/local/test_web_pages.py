"""Pages of other sites reach 127.0.0.1 through the browser, and must get nothing from it."""

from __future__ import annotations

import json

import pytest

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://127.0.0.1.evil.example:4566"},
    {"Origin": "http://evil-localhost"},
    {"Origin": "https://evil.s3.amazonaws.com"},
    {"Host": "evil.example:4566"},
    {"Host": "evil-amazonaws.com"},
    {"Host": "[::"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_sites_page_starts_nothing_and_reads_nothing(aws, headers):
    status, answered, body = aws.request(
        aws.server.endpoint_url,
        b"{}",
        "POST",
        X_Amz_Target="SageMaker.DescribeModel",
        **headers,
    )
    assert status == 403
    assert "access-control-allow-origin" not in answered
    assert json.loads(body)["__type"] == "AccessDeniedException"
    (named,) = headers
    assert json.loads(body)["message"].startswith(f"{named}: ")


def test_a_browser_may_not_ask_on_another_sites_behalf(aws):
    status, answered, _ = aws.request(
        aws.server.endpoint_url,
        method="OPTIONS",
        Origin="https://evil.example",
        Access_Control_Request_Method="POST",
    )
    assert status == 403
    assert "access-control-allow-origin" not in answered


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Host": "localhost:4566"},
        {"Host": "bucket.localhost:4566"},
        {"Host": "sagemaker.us-east-1.amazonaws.com"},
    ],
)
def test_this_machines_own_pages_and_names_are_answered(aws, headers):
    status, _, body = aws.request(
        aws.server.endpoint_url,
        b'{"ModelName": "nobody"}',
        "POST",
        X_Amz_Target="SageMaker.DescribeModel",
        **headers,
    )
    assert (status, json.loads(body)["__type"]) == (400, "ResourceNotFound")
