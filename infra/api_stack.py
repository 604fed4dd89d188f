"""The HTTP API: routes, what their bodies look like, the key and its limits, the function."""

from __future__ import annotations

import json

from aws_cdk import CfnOutput, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import access
from infra.acknowledged import acknowledge, acknowledge_wildcard
from infra.batch_stack import BY_OWNER, BatchStack
from infra.gateway_problems import PROBLEMS
from infra.inference_stack import InferenceStack
from infra.kept import log_group
from infra.python_function import PythonFunction
from infra.settings import ApiSettings, Settings
from infra.storage_stack import RUNS, UPLOADS, StorageStack

# Each gives up before the one that waits for it: endpoint, function, gateway (29 s).
READ_TIMEOUT_SECONDS = 24
FUNCTION_SECONDS = 28
_PERIODS = {
    "day": apigateway.Period.DAY,
    "week": apigateway.Period.WEEK,
    "month": apigateway.Period.MONTH,
}
_TYPE = apigateway.JsonSchemaType
PREDICTION = apigateway.JsonSchema(
    type=_TYPE.OBJECT,
    # The second is JumpStart's form of a zero-shot request.
    any_of=[
        apigateway.JsonSchema(required=["inputs"]),
        apigateway.JsonSchema(required=["sequences", "candidate_labels"]),
    ],
    properties={"parameters": apigateway.JsonSchema(type=_TYPE.OBJECT)},
)
BATCH = apigateway.JsonSchema(
    type=_TYPE.OBJECT,
    min_properties=1,
    max_properties=1,
    additional_properties=False,
    properties={
        "lines": apigateway.JsonSchema(type=_TYPE.ARRAY, min_items=1),
        "input": apigateway.JsonSchema(type=_TYPE.STRING, pattern="^s3://.+"),
        "upload": apigateway.JsonSchema(type=_TYPE.OBJECT),
    },
)


class ApiStack(Stack):
    """The API in front of the models and the batches."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        inference: InferenceStack,
        batch: BatchStack,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        # The function knows endpoints and records by their names, which no reference says.
        self.add_stack_dependency(inference)
        function = self._function(settings, storage, inference, batch)
        account = self._log_permission()
        self._api = self._rest_api(settings)
        # The stage's logging is refused until the account may write logs.
        self._api.deployment_stage.node.add_dependency(account)
        self._routes(function)
        acknowledge(
            self._api.deployment_stage,
            "AwsSolutions-APIG3",
            "a firewall is the account's choice; keys, throttles and quotas limit callers",
        )
        for problem in PROBLEMS:
            self._api.add_gateway_response(
                problem.kind if problem.status else f"default-{problem.kind}",
                type=problem.response_type,
                status_code=str(problem.status) if problem.status else None,
                response_headers=problem.headers,
                # The gateway uses this template whatever the client accepts.
                templates={"application/json": problem.template},
            )
        key = self._key(settings.api)
        CfnOutput(self, "ApiUrl", value=self._api.url)
        CfnOutput(self, "ApiId", value=self._api.rest_api_id)
        CfnOutput(self, "ApiStage", value=self._api.deployment_stage.stage_name)
        CfnOutput(self, "ApiKeyId", value=key.key_id)

    def _function(
        self,
        settings: Settings,
        storage: StorageStack,
        inference: InferenceStack,
        batch: BatchStack,
    ) -> PythonFunction:
        machine = batch.state_machine
        api = PythonFunction(
            self,
            "Front",
            folder="api",
            description=f"the HTTP API of {settings.prefix}",
            settings=settings,
            timeout=Duration.seconds(FUNCTION_SECONDS),
            memory_mb=512,
            environment={
                "POWERTOOLS_SERVICE_NAME": "api",
                "MODELS": inference.catalogue,
                "MODEL_PARAMETERS": settings.model_parameters,
                "STATE_MACHINE_ARN": machine.state_machine_arn,
                "DATA_BUCKET": storage.data.bucket_name,
                "BATCH_TABLE": batch.table.table_name,
                "BATCH_BUCKETS": json.dumps(settings.api.batches.buckets),
                "BATCH_EXPIRE_DAYS": str(settings.api.batches.expire_days),
                "TENANCY": "on" if settings.api.tenancy else "off",
                "READ_TIMEOUT_SECONDS": str(READ_TIMEOUT_SECONDS),
            },
        )
        role = api.role
        if inference.endpoint_arns:
            access.allow(
                role,
                "sagemaker:DescribeEndpoint",
                "sagemaker:InvokeEndpoint",
                on=inference.endpoint_arns,
            )
        records = access.arn(self, "ssm", f"parameter{settings.model_parameters}")
        access.allow(
            role,
            "ssm:GetParameter",
            "ssm:GetParametersByPath",
            on=[records.rstrip("/"), f"{records}*"],
            wildcard_because="it lists the records of all models",
        )
        self._allow_batches(role, settings, storage, batch)
        access.grant_use_key(storage.key, role)
        return api

    def _allow_batches(
        self, role: iam.Role, settings: Settings, storage: StorageStack, batch: BatchStack
    ) -> None:
        machine = batch.state_machine
        access.allow(role, "states:StartExecution", on=[machine.state_machine_arn])
        executions = access.arn(self, "states", "execution:{}:*")
        name = machine.state_machine_name
        because = "an execution has the name of its batch"
        acknowledge_wildcard(role, executions, because, of=(machine, name))
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["states:DescribeExecution", "states:StopExecution"],
            resource_arns=[executions.replace("{}", name)],
        )
        access.grant_read_objects(storage.data, role, "batches/*")
        access.grant_read_inputs(self, role, settings.api.batches.buckets)
        access.grant_objects(
            storage.data, role, "s3:PutObject", keys=[f"{RUNS}*/lines", f"{UPLOADS}*"]
        )
        access.grant_use_table(
            batch.table,
            role,
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        )
        access.grant_query(batch.table, BY_OWNER, role)
        access.grant_table_key(storage.key, role)

    def _log_permission(self) -> apigateway.CfnAccount:
        """Let API Gateway write logs: a setting of the whole account in this region.

        It stays when the stack goes, since other APIs may have come to rely on it.
        """
        role = iam.Role(
            self,
            "GatewayLogRole",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name(
                    "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
                )
            ],
        )
        acknowledge(
            role,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
            "AmazonAPIGatewayPushToCloudWatchLogs]",
            "API Gateway checks the role for what this policy allows before it takes it",
        )
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        account = apigateway.CfnAccount(self, "GatewayAccount", cloud_watch_role_arn=role.role_arn)
        account.apply_removal_policy(RemovalPolicy.RETAIN)
        return account

    def _rest_api(self, settings: Settings) -> apigateway.RestApi:
        api = settings.api
        rest_api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=settings.prefix,
            description=f"the models of {settings.prefix}",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            deploy_options=apigateway.StageOptions(
                stage_name=settings.stage,
                access_log_destination=apigateway.LogGroupLogDestination(
                    log_group(self, "AccessLog", settings=settings)
                ),
                access_log_format=apigateway.AccessLogFormat.json_with_standard_fields(
                    caller=False,
                    http_method=True,
                    ip=True,
                    protocol=True,
                    request_time=True,
                    resource_path=True,
                    response_length=True,
                    status=True,
                    user=False,
                ),
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                metrics_enabled=True,
                tracing_enabled=True,
                throttling_rate_limit=api.throttle.rate,
                throttling_burst_limit=api.throttle.burst,
            ),
        )
        # Its own output of the URL, which ours says under the name that others read.
        rest_api.node.try_remove_child("Endpoint")
        return rest_api

    def _routes(self, function: PythonFunction) -> None:
        api = self._api
        self._integration = apigateway.LambdaIntegration(
            function.function, scope_permission_to_method=False
        )
        self._validator = api.add_request_validator(
            "Validator", validate_request_body=True, validate_request_parameters=True
        )
        prediction = api.add_model("Prediction", schema=PREDICTION)
        batch = api.add_model("BatchStart", schema=BATCH)
        root = api.root.add_resource("v1")
        models, batches = root.add_resource("models"), root.add_resource("batches")
        model = models.add_resource("{model}")
        self._route(root.add_resource("health"), "GET", open_to_all=True)
        self._route(models, "GET")
        self._route(model, "GET")
        self._route(model, "POST", body=prediction)
        self._route(model.add_resource("batches"), "POST", body=batch)
        self._route(batches, "GET")
        batch_resource = batches.add_resource("{batch}")
        self._route(batch_resource, "GET")
        self._route(batch_resource, "DELETE")

    def _route(
        self,
        resource: apigateway.Resource,
        verb: str,
        *,
        body: apigateway.IModel | None = None,
        open_to_all: bool = False,
    ) -> None:
        method = resource.add_method(
            verb,
            self._integration,
            api_key_required=not open_to_all,
            request_validator=self._validator,
            request_models={"application/json": body} if body else None,
        )
        reason = (
            "health says nothing that needs a key" if open_to_all else "callers send an API key"
        )
        acknowledge(method, "AwsSolutions-APIG4", reason)
        acknowledge(method, "AwsSolutions-COG4", reason)

    def _key(self, settings: ApiSettings) -> apigateway.IApiKey:
        key = self._api.add_api_key("Key")
        quota = settings.quota
        plan = self._api.add_usage_plan(
            "Plan",
            throttle=apigateway.ThrottleSettings(
                rate_limit=settings.throttle.rate, burst_limit=settings.throttle.burst
            ),
            quota=apigateway.QuotaSettings(limit=quota.requests, period=_PERIODS[quota.period])
            if quota
            else None,
        )
        plan.add_api_stage(stage=self._api.deployment_stage)
        plan.add_api_key(key)
        return key
