"""MiniStack, run in this process: the only file that knows its private names."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from local.access_log import Exchange

VERSION = "1.5.33"

# Every name used here, with its signature (or its type): a release that moves one is refused.
PRIVATE_NAMES = {
    "app:SERVICE_HANDLERS": "dict",
    "app:_build_persistence_save_dict": "()",
    "app:app": "(scope, receive, send)",
    "core.iam_evaluator:AuthError": "type",
    "core.iam_evaluator:enforce": (
        "(access_key_id: str, iam_action: str, service: str, region: str, "
        "resource_arn: str = '*', service_context: dict[str, typing.Any] | None = None) -> "
        "ministack.core.iam_evaluator.EvalResult | ministack.core.iam_evaluator.AuthError | None"
    ),
    "core.lambda_runtime:reset": "()",
    "core.persistence:_json_default": "(obj)",
    "core.persistence:_state_format_version": "(service: str) -> int",
    "core.responses:set_request_account_id": "(access_key_id: str) -> None",
    "core.responses:set_request_region": "(region: str | None) -> None",
    "core.router:SERVICE_PATTERNS": "dict",
    "core.router:extract_access_key_id": "(headers: dict, query_params=None) -> str",
    "services.apigateway_v1:_authorize_request_v1": (
        "(api_id, stage_name, method_obj, method, request_path, resource, headers, body, "
        "query_params, path_params, stage, owner_account_id, owner_region)"
    ),
    "services.apigateway_v1:_build_lambda_event_v1": (
        "(api_id, stage_name, stage, resource, request_path, method, headers, body, "
        "query_params, path_params, *, binary_media_types=None, authorizer_context=None, "
        "caller_identity=None)"
    ),
    "services.apigateway_v1:_check_api_key": "(method_obj, api_id, stage_name, headers)",
    "services.apigateway_v1:_gw_error": "(response_type, message)",
    "services.apigateway_v1:_invoke_lambda_proxy_v1": (
        "(integration, api_id, stage_name, stage, resource, request_path, method, headers, body, "
        "query_params, path_params, *, owner_account_id=None, owner_region=None, "
        "binary_media_types=None, authorizer_context=None, caller_identity=None)"
    ),
    "services.apigateway_v1:_invoke_mock_v1": "(integration)",
    "services.apigateway_v1:_invoke_authorizer_lambda": ("(authorizer, event, account_id, region)"),
    "services.apigateway_v1:_request_identity_sources": (
        "(identity_source, headers, query_params, stage)"
    ),
    "services.apigateway_v1:_rest_apis": "AccountRegionScopedDict",
    "services.apigateway_v1:_check_request_validation": (
        "(method_obj, api_id, request, headers, body, query_params)"
    ),
    "services.apigateway_v1:_create_request_validator": "(api_id, data)",
    "services.apigateway_v1:_GatewayError": "type",
    "services.apigateway_v1:_delete_request_validator": "(api_id, validator_id)",
    "services.apigateway_v1:_execute_in_scope": (
        "(request, api_id, stage_name, method, path, headers, body, query_params, "
        "owner_account_id, owner_region)"
    ),
    "services.apigateway_v1:_gateway_error_response": "(error, request)",
    "services.apigateway_v1:_stages_v1": "AccountRegionScopedDict",
    "services.apigateway_v1:_update_method": "(api_id, resource_id, http_method, data)",
    "services.apigateway_v1:_update_request_validator": "(api_id, validator_id, data)",
    "services.apigateway_v1:_update_stage": "(api_id, stage_name, data)",
    "services.cloudformation.custom_resource:deliver_response": (
        "(token: str, response: dict) -> bool"
    ),
    "services.cloudformation.provisioners:_REPLACING_PROPERTIES": "dict",
    "services.cloudformation.provisioners:_RESOURCE_HANDLERS": "dict",
    "services.cloudformation.provisioners:_STACK_TAG_PROPERTY": "dict",
    "services.cloudformation.provisioners:_physical_name": (
        "(stack_name: str, logical_id: str, *, lowercase: bool = False, max_len: int = 128, "
        "seeded: bool = True) -> str"
    ),
    "services.cloudformation.stacks:_runs_on_worker_thread": "(resource_type: str) -> bool",
    "services.cloudformation.engine:_parse_template": "(template_body: str) -> dict",
    "services.cloudformation:_stacks": "AccountRegionScopedDict",
    "services.cloudwatch_logs:_create_log_stream": "(data)",
    "services.cloudwatch_logs:_put_log_events": "(data)",
    "services.eventbridge:_put_events": "(data, allow_aws_source=False)",
    "services.lambda_svc:_execute_function_with_config_scope": "(func: dict, event: dict) -> dict",
    "services.stepfunctions:_AWS_SDK_SERVICE_MAP": "dict",
    "services.stepfunctions:_ExecutionError": "type",
    "services.stepfunctions:_SERVICE_DISPATCH": "dict",
    "services.stepfunctions:_execute_task": "(state_def, raw_input, execution, ctx)",
    "services.stepfunctions:_fail_execution": "(execution, error, cause)",
    "services.waf:_associations": "AccountRegionScopedDict",
    "services.waf:_web_acls": "AccountRegionScopedDict",
}

Created = tuple[str, dict[str, Any]]
Response = tuple[int, dict[str, str], bytes]
Handler = Callable[
    [str, str, Mapping[str, str], bytes, Mapping[str, list[str]]], Awaitable[Response]
]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class MiniStackVersionError(RuntimeError):
    """The installed MiniStack is not the one whose private names are known here."""


class IntegrationError(Exception):
    """A Step Functions task failed: the error's name and its cause."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


@dataclass(frozen=True)
class Task:
    """One attempt of a Step Functions task: is someone still waiting for its result."""

    execution: Mapping[str, Any]
    deadline: float

    def abandoned(self) -> bool:
        """Whether the execution ended, or the task's time is over."""
        return self.execution.get("status") != "RUNNING" or time.monotonic() > self.deadline


class ResourceProvider(Protocol):
    """What creates, updates and deletes the resources of one CloudFormation type."""

    @property
    def type_name(self) -> str: ...

    @property
    def create_only(self) -> tuple[str, ...]: ...

    def create(self, name: str, properties: dict[str, Any]) -> Created: ...

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> Created: ...

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None: ...


def private(name: str) -> Any:  # noqa: ANN401 - MiniStack has no types
    """The object behind one of the names in PRIVATE_NAMES."""
    if name not in PRIVATE_NAMES:
        raise KeyError(f"{name} is not in PRIVATE_NAMES: add it with its signature")
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(f"ministack.{module}"), attribute)


def check() -> None:
    """Refuse any other MiniStack than the pinned one, and any whose names moved."""
    try:
        found = metadata.version("ministack")
    except metadata.PackageNotFoundError:
        found = "none"
    if found != VERSION:
        raise MiniStackVersionError(
            f"ministack: version {found} is installed, the local AWS needs exactly {VERSION}: "
            f"run pip install -r requirements.txt"
        )
    moved = list(moved_names())
    if moved:
        raise MiniStackVersionError(
            f"ministack {VERSION} is not what it was: {'; '.join(moved)}: reinstall it"
        )


def moved_names() -> Iterator[str]:
    """Say for each name that moved what was expected and what is there."""
    for name, expected in PRIVATE_NAMES.items():
        try:
            there = _shape(private(name))
        except (ImportError, AttributeError) as error:
            yield f"{name} is gone ({error})"
        else:
            if there != expected:
                yield f"{name} is {there}, expected {expected}"


def environment(*, state_dir: Path, port: int, account: str, region: str) -> dict[str, str]:
    """The settings MiniStack reads from its environment when it is imported."""
    return {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": account,
        "MINISTACK_REGION": region,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state_dir / "aws"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state_dir / "s3"),
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }


async def serve(
    host: str,
    port: int,
    wrap: Callable[[Application], Application],
    stop: Callable[[], Awaitable[object]],
) -> None:
    """Serve the application on one address until `stop` completes."""
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"{host}:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.accesslog = None

    application: Any = wrap(private("app:app"))
    await hypercorn_serve(application, config, shutdown_trigger=stop)


def states() -> dict[str, Callable[[], Any]]:
    """For each service in use, what gives its present state."""
    services: dict[str, Callable[[], Any]] = private("app:_build_persistence_save_dict")()
    return services


def encode_state(service: str, state: object) -> bytes:
    """A service's state as MiniStack reads it back at its start."""
    document = {
        "__ministack_format__": private("core.persistence:_state_format_version")(service),
        "payload": state,
    }
    return json.dumps(document, default=private("core.persistence:_json_default")).encode()


def end_functions() -> None:
    """End every Lambda worker."""
    private("core.lambda_runtime:reset")()


def register_service(name: str, target_prefix: str, handler: Handler) -> None:
    """Answer the requests signed for a service, or with its X-Amz-Target, with a handler."""

    async def handle(
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Mapping[str, list[str]],
    ) -> Response:
        status, answered, content = await handler(method, path, headers, body, query)
        # A `Content-Type` in this spelling is replaced by that of the service's protocol,
        # also where the body is a model's; in lower case it goes out as it is.
        return status, {name.lower(): value for name, value in answered.items()}, content

    private("app:SERVICE_HANDLERS")[name] = handle
    private("core.router:SERVICE_PATTERNS")[name] = {
        "target_prefixes": [f"{target_prefix}."],
        "host_patterns": [rf"{name}\."],
        "credential_scope": name,
    }
    private("services.stepfunctions:_AWS_SDK_SERVICE_MAP")[name] = {
        "target_prefix": target_prefix,
        "protocol": "json",
    }


def register_resource_type(provider: ResourceProvider) -> None:
    """Let CloudFormation provision a type; its calls may block, and may call this server."""

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Created:
        name = private("services.cloudformation.provisioners:_physical_name")(
            stack_name, logical_id, max_len=63
        )
        return provider.create(name, properties)

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str
    ) -> Created:
        return provider.update(physical_id, old, new)

    type_name = provider.type_name
    _PROVIDERS[type_name] = provider
    private("services.cloudformation.provisioners:_RESOURCE_HANDLERS")[type_name] = {
        "create": create,
        "update": update,
        "delete": provider.delete,
    }
    private("services.cloudformation.provisioners:_REPLACING_PROPERTIES")[type_name] = (
        provider.create_only
    )
    private("services.cloudformation.provisioners:_STACK_TAG_PROPERTY")[type_name] = (
        "Tags",
        "list",
    )
    _run_on_worker_thread(type_name)


def register_integration(
    service: str, action: str, run: Callable[[dict[str, Any], bool, Task], dict[str, Any]]
) -> None:
    """Let Step Functions run `arn:aws:states:::service:action`, with and without `.sync`."""

    def handle(resource: str, request: dict[str, Any]) -> dict[str, Any]:
        execution, timeout_seconds = _TASK.get()
        task = Task(execution=execution, deadline=time.monotonic() + timeout_seconds)
        try:
            return run(request, resource.endswith(".sync"), task)
        except IntegrationError as error:
            raise private("services.stepfunctions:_ExecutionError")(
                error.error, error.cause
            ) from error

    arn = f"arn:aws:states:::{service}:{action}"
    private("services.stepfunctions:_SERVICE_DISPATCH")[arn] = handle


def settle_interrupted_stacks() -> None:
    """End the stack operations that died with the last server, so that a deployment can go on."""
    for stack in private("services.cloudformation:_stacks").all_values():
        status = stack["StackStatus"]
        if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
            continue
        _delete_untracked_resources(stack)
        stack["StackStatusReason"] = f"the local AWS was stopped while this stack was {status}"
        if status.startswith("UPDATE"):
            _return_to_previous_template(stack)
            stack["StackStatus"] = "UPDATE_ROLLBACK_COMPLETE"
        elif status == "DELETE_IN_PROGRESS":
            stack["StackStatus"] = "DELETE_FAILED"
        else:
            stack["StackStatus"] = "ROLLBACK_FAILED"


def put_event(
    *,
    account: str,
    region: str,
    source: str,
    detail_type: str,
    detail: Mapping[str, Any],
    resources: Iterable[str],
) -> None:
    """Publish an event of an AWS service on the default bus."""
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": list(resources),
        "EventBusName": "default",
    }

    def publish() -> None:
        private("core.responses:set_request_account_id")(account)
        private("core.responses:set_request_region")(region)
        private("services.eventbridge:_put_events")({"Entries": [entry]}, allow_aws_source=True)

    # Account and region belong to a request there: publish in a context of its own.
    copy_context().run(publish)


def close_gaps() -> None:
    """Mend, from outside, what MiniStack leaves out on the road that is deployed here."""
    _follow_executions()
    _provision_request_validators()
    _validate_only_bodies_that_have_a_model()
    _keep_access_log_settings()
    _write_access_logs()
    _fail_custom_resources_whose_function_failed()
    _name_errors_of_functions()


_PROVIDERS: dict[str, ResourceProvider] = {}
_TASK: ContextVar[tuple[Mapping[str, Any], float]] = ContextVar(
    "local_task", default=({"status": "RUNNING"}, float("inf"))
)


def _shape(thing: object) -> str:
    if callable(thing) and not inspect.isclass(thing):
        return str(inspect.signature(thing))
    return type(thing).__name__


def replace(name: str, replacement: object) -> None:
    """Put another object in the place of one of the names in PRIVATE_NAMES."""
    module, _, attribute = name.partition(":")
    private(name)
    setattr(importlib.import_module(f"ministack.{module}"), attribute, replacement)


def _run_on_worker_thread(type_name: str) -> None:
    name = "services.cloudformation.stacks:_runs_on_worker_thread"
    runs_there: Callable[[str], bool] = private(name)
    replace(name, lambda resource_type: resource_type == type_name or runs_there(resource_type))


def _delete_untracked_resources(stack: dict[str, Any]) -> None:
    """Delete what was being created: it has a name, but the stack does not know it yet."""
    template = private("services.cloudformation.engine:_parse_template")(stack["_template_body"])
    for logical_id, resource in template.get("Resources", {}).items():
        provider = _PROVIDERS.get(resource["Type"])
        properties = resource.get("Properties", {})
        name = provider and properties.get(f"{provider.type_name.rpartition(':')[2]}Name")
        if provider and isinstance(name, str) and logical_id not in stack.get("_resources", {}):
            provider.delete(name, properties)


def _return_to_previous_template(stack: dict[str, Any]) -> None:
    """Report the template before the update, marked so that any next one touches everything."""
    template = stack["_template"]
    for resource in template["Resources"].values():
        resource["Metadata"] = {**resource.get("Metadata", {}), "Interrupted": True}
    stack["_template_body"] = json.dumps(template)
    stack["Parameters"] = [
        {"ParameterKey": name, "ParameterValue": given["Value"], "NoEcho": given["NoEcho"]}
        for name, given in stack["_resolved_params"].items()
    ]


def _follow_executions() -> None:
    """Tell tasks whose they are, and let a stopped execution stay stopped."""
    execute_task = private("services.stepfunctions:_execute_task")
    fail_execution = private("services.stepfunctions:_fail_execution")

    def follow(
        state_def: dict[str, Any], raw_input: object, execution: dict[str, Any], ctx: object
    ) -> object:
        timeout_seconds = float(state_def.get("TimeoutSeconds", "inf"))
        token = _TASK.set((execution, timeout_seconds))
        try:
            return execute_task(state_def, raw_input, execution, ctx)
        finally:
            _TASK.reset(token)

    def fail_running(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail_execution(execution, error, cause)

    replace("services.stepfunctions:_execute_task", follow)
    replace("services.stepfunctions:_fail_execution", fail_running)


def _provision_request_validators() -> None:
    """AWS::ApiGateway::RequestValidator is a placeholder there, and methods forget theirs."""
    handlers = private("services.cloudformation.provisioners:_RESOURCE_HANDLERS")
    method = handlers["AWS::ApiGateway::Method"]
    create_method, update_method = method["create"], method["update"]

    def flags(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": properties.get("Name", ""),
            "validateRequestBody": _is_true(properties.get("ValidateRequestBody")),
            "validateRequestParameters": _is_true(properties.get("ValidateRequestParameters")),
        }

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Created:
        status, _, body = private("services.apigateway_v1:_create_request_validator")(
            properties["RestApiId"], flags(properties)
        )
        if status >= 400:
            raise ValueError(f"AWS::ApiGateway::RequestValidator create failed: {body!r}")
        identity = json.loads(body)["id"]
        return identity, {"RequestValidatorId": identity}

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str
    ) -> Created:
        if old.get("RestApiId") != new.get("RestApiId") or old.get("Name") != new.get("Name"):
            return create(physical_id, new, stack_name)
        operations = [
            {"op": "replace", "path": f"/{name}", "value": value}
            for name, value in flags(new).items()
        ]
        private("services.apigateway_v1:_update_request_validator")(
            new["RestApiId"], physical_id, {"patchOperations": operations}
        )
        return physical_id, {"RequestValidatorId": physical_id}

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        private("services.apigateway_v1:_delete_request_validator")(
            properties["RestApiId"], physical_id
        )

    def attach(properties: dict[str, Any]) -> None:
        private("services.apigateway_v1:_update_method")(
            properties["RestApiId"],
            properties["ResourceId"],
            properties["HttpMethod"],
            {
                "patchOperations": [
                    {
                        "op": "replace",
                        "path": "/requestValidatorId",
                        "value": properties.get("RequestValidatorId"),
                    }
                ]
            },
        )

    def create_with_validator(
        logical_id: str, properties: dict[str, Any], stack_name: str
    ) -> Created:
        created: Created = create_method(logical_id, properties, stack_name)
        attach(properties)
        return created

    def update_with_validator(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str
    ) -> Created:
        updated: Created = update_method(physical_id, old, new, stack_name)
        attach(new)
        return updated

    handlers["AWS::ApiGateway::RequestValidator"] = {
        "create": create,
        "update": update,
        "delete": delete,
    }
    method["create"], method["update"] = create_with_validator, update_with_validator


def _validate_only_bodies_that_have_a_model() -> None:
    """There, the JSON model also judges bodies of every content type that has no model."""
    name = "services.apigateway_v1:_check_request_validation"
    check_request = private(name)

    def check_with_own_model(
        method: dict[str, Any],
        api_id: str,
        request: object,
        headers: Mapping[str, str],
        *rest: object,
    ) -> object:
        given = {key.lower(): value for key, value in headers.items()}.get("content-type", "")
        media_type = given.partition(";")[0].strip()
        models = method.get("requestModels") or {}
        if media_type and media_type not in models:
            method = {**method, "requestModels": {}}
        return check_request(method, api_id, request, headers, *rest)

    replace(name, check_with_own_model)


def _keep_access_log_settings() -> None:
    """AWS::ApiGateway::Stage drops its AccessLogSetting there."""
    stage = private("services.cloudformation.provisioners:_RESOURCE_HANDLERS")[
        "AWS::ApiGateway::Stage"
    ]
    create_stage, update_stage = stage["create"], stage["update"]

    def keep(properties: dict[str, Any]) -> None:
        setting = properties.get("AccessLogSetting", {})
        value = {
            "destinationArn": setting.get("DestinationArn", ""),
            "format": setting.get("Format", ""),
        }
        operation = {"op": "replace", "path": "/accessLogSettings", "value": value}
        private("services.apigateway_v1:_update_stage")(
            properties["RestApiId"],
            properties["StageName"],
            {"patchOperations": [operation]},
        )

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Created:
        created: Created = create_stage(logical_id, properties, stack_name)
        keep(properties)
        return created

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str
    ) -> Created:
        updated: Created = update_stage(physical_id, old, new, stack_name)
        keep(new)
        return updated

    stage["create"], stage["update"] = create, update


def _write_access_logs() -> None:
    """Stages write no access log there: write a line for each request to the stage's group."""
    execute = private("services.apigateway_v1:_execute_in_scope")
    gateway_error = private("services.apigateway_v1:_GatewayError")
    answer_error = private("services.apigateway_v1:_gateway_error_response")

    async def execute_and_log(request: dict[str, Any], *arguments: Any) -> object:  # noqa: ANN401
        started = time.time()
        answer = await execute(request, *arguments)
        if isinstance(answer, gateway_error):
            answer = answer_error(answer, request)
        settings = (request["stage"] or {}).get("accessLogSettings") or {}
        if settings.get("destinationArn"):
            api_id, stage, method, path, headers, _, _, account, _ = arguments
            exchange = Exchange(
                request_id=request["request_id"],
                api_id=api_id,
                stage=stage,
                account=account,
                method=method,
                path=path,
                resource_path=request["resource_path"],
                headers=headers,
                started=datetime.fromtimestamp(started, tz=UTC),
                seconds=time.time() - started,
                status=answer[0],
                response_length=len(answer[2]),
            )
            _write_log_line(settings["destinationArn"], exchange.line(settings["format"]), started)
        return answer

    replace("services.apigateway_v1:_execute_in_scope", execute_and_log)


def _write_log_line(group_arn: str, line: str, moment: float) -> None:
    identity = {
        "logGroupName": group_arn.partition(":log-group:")[2].removesuffix(":*"),
        "logStreamName": "access",
    }
    private("services.cloudwatch_logs:_create_log_stream")(identity)
    event = {"timestamp": int(moment * 1000), "message": line}
    private("services.cloudwatch_logs:_put_log_events")({**identity, "logEvents": [event]})


def _fail_custom_resources_whose_function_failed() -> None:
    """A function that raised never answers, and the stack would wait an hour for it."""
    execute = private("services.lambda_svc:_execute_function_with_config_scope")

    def execute_and_answer(func: dict[str, Any], event: object) -> dict[str, Any]:
        result: dict[str, Any] = execute(func, event)
        if isinstance(event, dict) and "ResponseURL" in event and result.get("error"):
            token = event["ResponseURL"].rsplit("/", 1)[-1]
            private("services.cloudformation.custom_resource:deliver_response")(
                token, {"Status": "FAILED", "Reason": f"the function failed: {result['body']}"}
            )
        return result

    replace("services.lambda_svc:_execute_function_with_config_scope", execute_and_answer)


def _name_errors_of_functions() -> None:
    """Every exception of a function has one name there; AWS, and who catches it, knows its own."""
    name = "services.lambda_svc:_execute_function_with_config_scope"
    execute = private(name)

    def execute_and_name(func: dict[str, Any], event: object) -> dict[str, Any]:
        result: dict[str, Any] = execute(func, event)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict):
            ending = re.escape(body.get("errorMessage", ""))
            # The last words of the trace that ends the function's log.
            found = re.search(rf"^(?:\w+\.)*(\w+)(?:: )?{ending}\s*\Z", result.get("log", ""), re.M)
            if found and body.get("errorType") == "Runtime.HandlerError":
                body["errorType"] = found[1]
        return result

    replace(name, execute_and_name)


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"
