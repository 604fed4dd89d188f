"""The HTTP API: the gateway with its routes, the function behind it, keys and their limits."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import access
from infra.acknowledged import acknowledge, acknowledge_wildcard
from infra.api_auth import Auth, acknowledge_open, auth
from infra.api_firewall import Firewall
from infra.api_routes import Route, routes
from infra.api_settings import (
    DEFAULT_KEY,
    MOST_REQUESTS_A_SECOND,
    MOST_REQUESTS_AT_ONCE,
    ApiSettings,
    ThrottleSettings,
)
from infra.batch_stack import BY_OWNER, BatchStack
from infra.body_models import hugging_face_model, prediction_model, read
from infra.gateway_problems import problems
from infra.inference_stack import InferenceStack
from infra.kept import log_group
from infra.later_function import LaterFunction
from infra.python_function import PythonFunction
from infra.settings import Settings, pascal_case
from infra.storage_stack import RUNS, UPLOADS, StorageStack

# Each gives up before the one that waits for it: endpoint, function, gateway (29 s).
READ_TIMEOUT_SECONDS = 24
FUNCTION_SECONDS = 28
_PERIODS = {
    "day": apigateway.Period.DAY,
    "week": apigateway.Period.WEEK,
    "month": apigateway.Period.MONTH,
}
ALLOWED_HEADERS = [
    "Accept",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Prefer",
    # What a signature brings along.
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-api-key",
]


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
        self._routes(self._entered_at(function, settings.api), settings)
        self._firewall(settings.api)
        for problem in problems(settings.api.auth):
            self._api.add_gateway_response(
                problem.kind if problem.status else f"default-{problem.kind}",
                type=problem.response_type,
                status_code=str(problem.status) if problem.status else None,
                response_headers=problem.headers(_allowed_origin(settings.api)),
                # The gateway uses this template whatever the client accepts.
                templates={"application/json": problem.template},
            )
        CfnOutput(self, "ApiUrl", value=self._api.url)
        CfnOutput(self, "ApiId", value=self._api.rest_api_id)
        CfnOutput(self, "ApiStage", value=self._api.deployment_stage.stage_name)
        CfnOutput(self, "ApiAuth", value=settings.api.auth)
        if settings.api.auth == "api-key":
            self._keys(settings.api)

    def _function(
        self,
        settings: Settings,
        storage: StorageStack,
        inference: InferenceStack,
        batch: BatchStack,
    ) -> PythonFunction:
        api = PythonFunction(
            self,
            "Front",
            folder="api",
            description=f"the HTTP API of {settings.prefix}",
            settings=settings,
            timeout=Duration.seconds(FUNCTION_SECONDS),
            memory_mb=settings.api.function.memory_mb,
            extras=["traces"] if settings.api.function.traces else [],
            traces=settings.api.function.traces,
            snap_start=settings.api.function.snap_start,
            environment={
                "POWERTOOLS_SERVICE_NAME": "api",
                "AUTH": settings.api.auth,
                "PAGES": " ".join(
                    name for name, shown in settings.api.pages.model_dump().items() if shown
                ),
                "CORS_ORIGINS": " ".join(settings.api.cors.origins if settings.api.cors else ()),
                "TENANCY": "on" if settings.api.tenancy else "off",
                "TRACES": "on" if settings.api.function.traces else "off",
                "MODELS": inference.catalogue,
                "MODEL_PARAMETERS": settings.model_parameters,
                "STATE_MACHINE_ARN": batch.state_machine.state_machine_arn,
                "DATA_BUCKET": storage.data.bucket_name,
                "BATCH_TABLE": batch.table.table_name,
                "BATCH_BUCKETS": " ".join(settings.api.batches.buckets),
                "BATCH_EXPIRE_DAYS": str(settings.api.batches.expire_days),
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
        LaterFunction(self, "Later", settings=settings, storage=storage, inference=inference).serve(
            api
        )
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
        keys = [f"{RUNS}*/lines", f"{UPLOADS}*"]
        access.grant_objects(storage.data, role, "s3:PutObject", keys=keys)
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
        throttle = _throttle_of_all(api)
        rest_api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=settings.prefix,
            description=f"the models of {settings.prefix}",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            api_key_source_type=apigateway.ApiKeySourceType.AUTHORIZER
            if api.auth == "api-key"
            else None,
            default_cors_preflight_options=apigateway.CorsOptions(
                allow_origins=list(api.cors.origins),
                allow_headers=ALLOWED_HEADERS,
                allow_methods=["DELETE", "GET", "POST"],
                max_age=Duration.hours(1),
            )
            if api.cors
            else None,
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
                throttling_rate_limit=throttle.rate,
                throttling_burst_limit=throttle.burst,
            ),
        )
        # Its own output of the URL, which ours says under the name that others read.
        rest_api.node.try_remove_child("Endpoint")
        return rest_api

    def _entered_at(self, function: PythonFunction, settings: ApiSettings) -> lambda_.IFunction:
        """The function, or the published version of it that is kept ready."""
        own = settings.function
        if not own.snap_start and not own.provisioned_concurrency:
            return function.function
        return lambda_.Alias(
            self,
            "Live",
            alias_name="live",
            version=function.function.current_version,
            provisioned_concurrent_executions=own.provisioned_concurrency or None,
        )

    def _firewall(self, settings: ApiSettings) -> None:
        stage = self._api.deployment_stage
        if settings.firewall is not None:
            Firewall(self, "Firewall", settings=settings.firewall, stage=stage)
            # Its association with the stage is a resource that the rule looks for in vain.
        acknowledge(
            stage,
            "AwsSolutions-APIG3",
            "a firewall is the stage file's choice; keys, throttles and quotas limit callers",
        )

    def _routes(self, function: lambda_.IFunction, settings: Settings) -> None:
        api = self._api
        self._integration = apigateway.LambdaIntegration(function, scope_permission_to_method=False)
        self._validator = api.add_request_validator(
            "Validator", validate_request_body=True, validate_request_parameters=True
        )
        self._models = {
            "prediction": self._model(
                "Prediction", prediction_model(model.task for model in settings.models.values())
            ),
            "hugging-face": self._model("HuggingFace", hugging_face_model()),
            "batch": self._model("BatchStart", read("batches")["request"]),
        }
        who = auth(self, settings)
        for route in routes(settings.api.pages):
            self._route(route, who)
        if settings.api.cors is not None:
            for method in api.methods:
                if method.http_method == "OPTIONS":
                    acknowledge_open(method, "a browser asks before it sends who it is")

    def _model(self, id: str, schema: dict[str, Any]) -> apigateway.IModel:
        # Below the L2 construct, whose schema class leaves out parts of JSON Schema.
        model = apigateway.CfnModel(
            self,
            id,
            rest_api_id=self._api.rest_api_id,
            content_type="application/json",
            schema=schema,
        )
        # The L2 model does so too: a stage answers by its deployment, so this has to be a new one.
        if self._api.latest_deployment is not None:
            self._api.latest_deployment.node.add_dependency(model)
            self._api.latest_deployment.add_to_logical_id({id: schema})
        return apigateway.Model.from_model_name(self, f"{id}Name", model.ref)

    def _route(self, route: Route, who: Auth) -> None:
        options: dict[str, Any] = {} if route.open_because else who.options(route)
        method = self._api.root.resource_for_path(route.path).add_method(
            route.verb,
            self._integration,
            request_validator=self._validator,
            request_models={"application/json": self._models[route.body]} if route.body else None,
            **options,
        )
        if route.open_because:
            acknowledge_open(method, route.open_because)
        else:
            who.acknowledge(method)

    def _keys(self, settings: ApiSettings) -> None:
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
        ids = {}
        for name in settings.keys:
            # By its own name alone: who holds a key must not come to hold another's.
            id = "Key" if name == DEFAULT_KEY else f"Key{pascal_case(name)}"
            key = self._api.add_api_key(id)
            plan.add_api_key(key)
            ids[name] = key.key_id
        CfnOutput(self, "ApiKeyId", value=ids[settings.keys[0]])
        CfnOutput(self, "ApiKeyIds", value=self.to_json_string(ids))


def _throttle_of_all(settings: ApiSettings) -> ThrottleSettings:
    """What a route takes of all callers together: enough for each key to have what it may send."""
    keys = len(settings.keys) if settings.auth == "api-key" else 1
    return ThrottleSettings(
        rate=min(settings.throttle.rate * keys, MOST_REQUESTS_A_SECOND),
        burst=min(settings.throttle.burst * keys, MOST_REQUESTS_AT_ONCE),
    )


def _allowed_origin(settings: ApiSettings) -> str | None:
    """What the gateway's own refusals tell browsers: it can name one origin only."""
    if settings.cors is None:
        return None
    return settings.cors.origins[0] if len(settings.cors.origins) == 1 else "*"
