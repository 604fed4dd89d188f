"""Versions 1 and 3 of `tickets` in the registry, the newer one with all that its run writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.command_line.conftest import ARTIFACT_BUCKET
from tests.functions.stand_ins import SageMaker

ACCOUNT = "arn:aws:sagemaker:us-east-1:123456789012"
GROUP = f"{ACCOUNT}:model-package/lectern-test-tickets"
RUN = f"s3://{ARTIFACT_BUCKET}/runs/run3"
EVALUATION = {
    "metrics": {
        "accuracy": {"value": 0.913, "standard_error": 0.01, "confidence_interval": [0.881, 0.94]},
        "ece": {"value": 0.042, "standard_error": 0.01, "confidence_interval": [0.03, 0.06]},
    },
    "problem": "single-label",
    "rows": 240,
    "resamples": 1000,
    "confidence": 0.95,
    "seed": 13,
    "per_class": {
        f"label-{i}": {"precision": 0.8, "recall": 0.7, "f1": 0.9 - i / 10, "support": 40 + i}
        for i in range(7)
    },
    "comparison": {
        "version": "1",
        "metrics": {
            "accuracy": {
                "approved": 0.9,
                "candidate": 0.913,
                "difference": 0.013,
                "standard_error": 0.01,
                "confidence_interval": [-0.004, 0.03],
            }
        },
    },
    "gate": {"passed": 1, "requirements": [], "margin": None, "message": "accuracy 0.913 ≥ 0.9"},
}


def register(
    aws: Callable[[str], Any], sagemaker: SageMaker, *, card: str = "# card\n", model: bytes = b""
) -> None:
    """Answer for the registry, and put what version 3 points to."""
    for name, body in {
        "evaluation/card.html": "<!doctype html><title>tickets</title>",
        "evaluation/card.md": card,
        "evaluation/evaluation.json": json.dumps(EVALUATION),
        "model.tar.gz": model,
    }.items():
        body = body if isinstance(body, bytes) else body.encode()
        aws("s3").put_object(Bucket=ARTIFACT_BUCKET, Key=f"runs/run3/{name}", Body=body)
    described = {f"{GROUP}/{number}": _described(number) for number in (1, 3)}
    described[f"{GROUP}/3"]["CustomerMetadataProperties"] = {
        "card": f"{RUN}/evaluation/card.html",
        "evaluation": f"{RUN}/evaluation/evaluation.json",
        "execution": "run3",
    }
    sagemaker.operations |= {
        "ListModelPackages": lambda _: {"ModelPackageSummaryList": list(described.values())},
        "DescribeModelPackage": lambda asked: described[asked["ModelPackageName"]],
    }


def _described(number: int) -> dict[str, Any]:
    return {
        "ModelPackageGroupName": "lectern-test-tickets",
        "ModelPackageVersion": number,
        "ModelPackageArn": f"{GROUP}/{number}",
        "CreationTime": 1.7e9,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [
                {
                    "Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:y",
                    "ModelDataUrl": f"s3://{ARTIFACT_BUCKET}/runs/run{number}/model.tar.gz",
                }
            ]
        },
    }
