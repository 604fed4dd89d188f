"""A Python function of `lambda/`: its code, its own role and its own log group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import access
from infra.acknowledged import acknowledge
from infra.kept import log_group
from infra.lambda_bundle import function_zip
from infra.settings import Settings


class PythonFunction(Construct):
    """`lambda/<folder>/` on arm64, entered at `entry`, allowed to write its log alone."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        folder: str,
        description: str,
        settings: Settings,
        timeout: Duration,
        memory_mb: int,
        environment: Mapping[str, str],
        entry: str = "handler.handler",
        extras: Sequence[str] = (),
        traces: bool = False,
        snap_start: bool = False,
    ) -> None:
        super().__init__(scope, id)
        log = log_group(self, "Log", settings=settings)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        access.allow(
            self.role,
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            on=[log.log_group_arn],
        )
        if traces:
            acknowledge(
                self.role,
                "AwsSolutions-IAM5[Resource::*]",
                "X-Ray's segments belong to no resource",
            )
        # The zip is read while the function is made, and gone afterwards.
        with function_zip(folder, extras=extras, with_compiled=not settings.is_local) as code:
            self.function = lambda_.Function(
                self,
                "Function",
                code=lambda_.Code.from_asset(code),
                handler=entry,
                runtime=lambda_.Runtime.PYTHON_3_13,
                architecture=lambda_.Architecture.ARM_64,
                description=description,
                role=self.role,
                timeout=timeout,
                memory_size=memory_mb,
                environment=environment,
                log_group=log,
                tracing=lambda_.Tracing.ACTIVE if traces else lambda_.Tracing.DISABLED,
                snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
            )
        acknowledge(
            self.function,
            "AwsSolutions-L1",
            "Python 3.13 is a maintained runtime; a newer one is taken on purpose, not by date",
        )
