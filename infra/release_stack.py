"""How an approved version comes into service: event → queue → function → stack update."""

from __future__ import annotations

import json

from aws_cdk import Duration, Environment, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import access
from infra.inference_stack import STACK_ID, InferenceStack
from infra.python_function import PythonFunction
from infra.settings import Settings

FUNCTION_SECONDS = 30
# A busy stack is tried again each minute, for longer than any endpoint's update takes.
VISIBILITY_SECONDS = 60
MOST_TRIES = 90


class ReleaseStack(Stack):
    """The rule, the queue and the function that updates the inference stack."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, inference: InferenceStack
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        # The function updates that stack by its name, which no reference says.
        self.add_stack_dependency(inference)
        groups = {name: settings.pipeline_name(name) for name in inference.releases}
        queue = self._queue()
        events.Rule(
            self,
            "Approval",
            description="a version of one of the stage's pipelines was registered or judged",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Model Package State Change"],
                detail={"ModelPackageGroupName": list(groups.values())},
            ),
            targets=[targets.SqsQueue(queue)],
        )
        release = PythonFunction(
            self,
            "Release",
            folder="release",
            description=f"brings the newest approved versions into {inference.stack_name}",
            settings=settings,
            timeout=Duration.seconds(FUNCTION_SECONDS),
            memory_mb=256,
            environment={
                "POWERTOOLS_SERVICE_NAME": "release",
                "STACK_NAME": inference.stack_name,
                "PIPELINES": json.dumps(
                    {
                        groups[name]: {
                            "version": found.version.logical_id,
                            "model_data": found.model_data.logical_id,
                        }
                        for name, found in inference.releases.items()
                    }
                ),
            },
        )
        self._grant(release, inference, list(groups.values()))
        access.allow(
            release.role,
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            on=[queue.queue_arn],
        )
        release.function.add_event_source_mapping(
            "Approvals", event_source_arn=queue.queue_arn, batch_size=10, max_concurrency=2
        )

    def _queue(self) -> sqs.Queue:
        failed = sqs.Queue(
            self,
            "Failed",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        return sqs.Queue(
            self,
            "Approvals",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=Duration.seconds(VISIBILITY_SECONDS),
            dead_letter_queue=sqs.DeadLetterQueue(queue=failed, max_receive_count=MOST_TRIES),
        )

    def _grant(self, release: PythonFunction, inference: InferenceStack, groups: list[str]) -> None:
        access.grant_read_versions(release.role, *groups)
        # The resources are changed by the role that the stack was deployed with, not by this one.
        access.allow(
            release.role,
            "cloudformation:DescribeStacks",
            "cloudformation:UpdateStack",
            on=[inference.arn],
            wildcard_because=STACK_ID,
        )
        # UpdateStack reads, as its caller, the parameters that are read from SSM: in each stack of
        # the CDK the version of the bootstrap.
        qualifier = inference.synthesizer.bootstrap_qualifier
        version = access.arn(self, "ssm", f"parameter/cdk-bootstrap/{qualifier}/version")
        access.allow(release.role, "ssm:GetParameters", on=[version])
