"""Batches: their records, and a state machine around SageMaker's transform job."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra import access
from infra.acknowledged import acknowledge
from infra.batch_definition import BatchParts, batch_definition
from infra.kept import log_group, removal_policy
from infra.python_function import PythonFunction
from infra.settings import Settings
from infra.storage_stack import RUNS, UPLOADS, StorageStack

# The longest that Lambda grants; a step that needs more goes on in the next call.
FUNCTION_SECONDS = 900
# One whole processor: lines are counted by one thread.
FUNCTION_MEMORY_MB = 1769
BY_OWNER = "by-owner"


class BatchStack(Stack):
    """The table, the function, the state machine, and what an upload sets off."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        self._settings, self._storage = settings, storage
        self.table = self._table()
        function = self._function()
        definition = batch_definition(
            BatchParts(
                partition=self.partition,
                model_parameters=settings.model_parameters,
                key_arn=storage.key.key_arn,
                table_name=self.table.table_name,
                function_arn=function.function.function_arn,
                runs_uri=f"s3://{storage.data.bucket_name}/{RUNS}",
            )
        )
        role = self._role(function)
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
        self._begin_with_uploads()
        CfnOutput(self, "StateMachineArn", value=self.state_machine.state_machine_arn)
        CfnOutput(self, "BatchTableName", value=self.table.table_name)

    def _table(self) -> dynamodb.Table:
        text = dynamodb.AttributeType.STRING
        table = dynamodb.Table(
            self,
            "Batches",
            partition_key=dynamodb.Attribute(name="id", type=text),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._storage.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expires",
            removal_policy=removal_policy(self._settings),
        )
        # Ids begin with the time, so an owner's batches stand here in the order of their start.
        table.add_global_secondary_index(
            index_name=BY_OWNER,
            partition_key=dynamodb.Attribute(name="owner", type=text),
            sort_key=dynamodb.Attribute(name="id", type=text),
        )
        return table

    def _function(self) -> PythonFunction:
        settings, storage = self._settings, self._storage
        files = PythonFunction(
            self,
            "Files",
            folder="batch",
            description=f"cuts the files of {settings.prefix}'s batches and joins the answers",
            settings=settings,
            timeout=Duration.seconds(FUNCTION_SECONDS),
            memory_mb=FUNCTION_MEMORY_MB,
            environment={
                "POWERTOOLS_SERVICE_NAME": "batch",
                "DATA_BUCKET": storage.data.bucket_name,
                "BATCH_TABLE": self.table.table_name,
                "EXPIRE_DAYS": str(settings.api.batches.expire_days),
            },
        )
        role = files.role
        access.grant_objects(storage.data, role, "s3:GetObject", keys=["batches/*", f"{UPLOADS}*"])
        access.grant_read_inputs(self, role, settings.api.batches.buckets)
        listed = {"StringLike": {"s3:prefix": [f"{RUNS}*"]}}
        access.allow(role, "s3:ListBucket", on=[storage.data.bucket_arn], conditions=listed)
        access.grant_objects(
            storage.data,
            role,
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
            keys=[f"{RUNS}*"],
        )
        access.grant_use_key(storage.key, role)
        access.grant_use_table(self.table, role, "dynamodb:UpdateItem")
        access.grant_table_key(storage.key, role)
        return files

    def _role(self, function: PythonFunction) -> iam.Role:
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
            on=[access.arn(self, "ssm", f"parameter{self._settings.model_parameters}*")],
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
        access.allow(role, "lambda:InvokeFunction", on=[function.function.function_arn])
        access.grant_use_table(self.table, role, "dynamodb:UpdateItem")
        access.grant_table_key(self._storage.key, role)
        return role

    def _begin_with_uploads(self) -> None:
        """S3 tells of an upload at least once; the state machine begins a batch once."""
        starter = access.service_role(
            self,
            "UploadRole",
            service="events.amazonaws.com",
            source_arn=access.arn(self, "events", "rule/*"),
            description="starts batches whose upload has arrived",
        )
        access.allow(starter, "states:StartExecution", on=[self.state_machine.state_machine_arn])
        events.Rule(
            self,
            "Upload",
            description="the lines of a batch were uploaded",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [self._storage.data.bucket_name]},
                    "object": {"key": [{"prefix": UPLOADS}]},
                },
            ),
            targets=[
                targets.SfnStateMachine(
                    self.state_machine,
                    role=starter,
                    input=events.RuleTargetInput.from_object(
                        {"upload": events.EventField.from_path("$.detail.object.key")}
                    ),
                )
            ],
        )
