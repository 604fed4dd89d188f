"""Batches: a state machine around SageMaker's transform job, with the model that serves."""

from __future__ import annotations

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra import access
from infra.acknowledged import acknowledge
from infra.batch_definition import batch_definition
from infra.kept import log_group
from infra.settings import Settings
from infra.storage_stack import StorageStack


class BatchStack(Stack):
    """The state machine of a batch."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        definition = batch_definition(
            partition=self.partition,
            model_parameters=settings.model_parameters,
            key_arn=storage.key.key_arn,
        )
        role = self._role(settings)
        self.state_machine = stepfunctions.StateMachine(
            self,
            "Batch",
            definition_body=stepfunctions.DefinitionBody.from_string(
                self.to_json_string(definition)
            ),
            role=role,
            tracing_enabled=True,
            # Not the data: executions carry keys, but a failed job's cause may quote a text.
            logs=stepfunctions.LogOptions(
                destination=log_group(self, "Log", settings=settings),
                level=stepfunctions.LogLevel.ALL,
                include_execution_data=False,
            ),
        )
        CfnOutput(self, "StateMachineArn", value=self.state_machine.state_machine_arn)

    def _role(self, settings: Settings) -> iam.Role:
        role = access.service_role(
            self,
            "Role",
            service="states.amazonaws.com",
            source_arn=access.arn(self, "states", "stateMachine:*"),
            description="looks models up and runs transform jobs",
        )
        acknowledge(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            "the delivery of logs and X-Ray's traces belong to no resource",
        )
        access.allow(
            role,
            "ssm:GetParameter",
            on=[access.arn(self, "ssm", f"parameter{settings.model_parameters}*")],
            wildcard_because="the model is named by the batch",
        )
        access.allow(
            role,
            # Step Functions marks the jobs that it starts with a tag.
            "sagemaker:AddTags",
            "sagemaker:CreateTransformJob",
            "sagemaker:DescribeTransformJob",
            "sagemaker:ListTags",
            "sagemaker:StopTransformJob",
            on=[access.arn(self, "sagemaker", "transform-job/*")],
            wildcard_because="a job has the name of its batch",
        )
        rule = "rule/StepFunctionsGetEventsForSageMakerTransformJobsRule"
        access.allow(
            role,
            "events:DescribeRule",
            "events:PutRule",
            "events:PutTargets",
            on=[access.arn(self, "events", rule)],
        )
        return role
