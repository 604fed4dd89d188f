"""`lectern approve` and `reject`: a person's word on a version, followed to the endpoints."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lectern import versions
from lectern.deployment import Deployment, connect
from lectern.faults import UsageError
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output
from lectern.release import Release

Pipeline = Annotated[str, typer.Argument(help="The pipeline's name in the settings.")]
Version = Annotated[
    int | None, typer.Option(help="The version.", show_default="the newest that is pending")
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until the endpoints serve what is approved.")
]
TimeoutSeconds = Annotated[int, typer.Option(help="The longest to wait.")]


def approve(
    context: typer.Context,
    pipeline: Pipeline,
    version: Version = None,
    wait: Wait = True,
    timeout_seconds: TimeoutSeconds = 1800,
    local: Local = False,
    stage: Stage = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Approve a version and wait until every endpoint of the pipeline serves it."""
    options = chosen(context, local=local, stage=stage, name=name, as_json=as_json)
    output = Output(as_json=options.as_json)
    deployment = connect(options)
    _decide(deployment, pipeline, version, "Approved", wait, timeout_seconds, output)


def reject(
    context: typer.Context,
    pipeline: Pipeline,
    version: Version = None,
    wait: Wait = True,
    timeout_seconds: TimeoutSeconds = 1800,
    local: Local = False,
    stage: Stage = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Reject a version; if it is in service, the newest still approved takes its place."""
    options = chosen(context, local=local, stage=stage, name=name, as_json=as_json)
    output = Output(as_json=options.as_json)
    deployment = connect(options)
    _decide(deployment, pipeline, version, "Rejected", wait, timeout_seconds, output)


def _decide(
    deployment: Deployment,
    pipeline: str,
    version: int | None,
    decision: str,
    wait: bool,
    timeout_seconds: int,
    output: Output,
) -> None:
    packages = versions.packages(deployment, pipeline)
    package = _choose(packages, version, pipeline)
    number = package["ModelPackageVersion"]
    release = Release(deployment, pipeline, output)
    deployment.client("sagemaker").update_model_package(
        ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus=decision
    )
    package["ModelApprovalStatus"] = decision
    output.say(f"version {number} of {pipeline} is {decision.lower()}")
    serving = _newest_approved(packages)
    document: dict[str, Any] = {
        "pipeline": pipeline,
        "version": str(number),
        "decision": decision,
        "newest_approved": None if serving is None else str(serving),
        "models": {},
    }
    if serving is None:
        output.show(document, f"no version of {pipeline} is approved: what serves is kept")
        return
    if not wait:
        output.show(document, f"version {serving} is on its way: follow it with `lectern status`")
        return
    document["models"] = release.follow(str(serving), timeout_seconds)
    served = ", ".join(sorted(document["models"])) or "no model, none has this pipeline as source"
    output.show(document, f"version {serving} of {pipeline} is in service: {served}")


def _choose(packages: list[dict[str, Any]], version: int | None, pipeline: str) -> dict[str, Any]:
    by_version = {package["ModelPackageVersion"]: package for package in packages}
    if version is not None:
        if version not in by_version:
            known = ", ".join(str(number) for number in sorted(by_version)) or "none"
            raise UsageError(f"--version: {pipeline} has no version {version}, it has: {known}")
        return by_version[version]
    pending = [
        number
        for number, package in by_version.items()
        if package["ModelApprovalStatus"] == "PendingManualApproval"
    ]
    if not pending:
        raise UsageError(
            f"no version of {pipeline} waits for a decision: train one with "
            f"`lectern train {pipeline} --data FILE`, or name one with --version"
        )
    return by_version[max(pending)]


def _newest_approved(packages: list[dict[str, Any]]) -> int | None:
    approved = [
        int(package["ModelPackageVersion"])
        for package in packages
        if package["ModelApprovalStatus"] == "Approved"
    ]
    return max(approved, default=None)
