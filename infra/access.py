"""What roles may do, in exact actions: the L2 grants allow more than a role here needs.

Every `*` in a resource is acknowledged where it is granted, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from infra.acknowledged import acknowledge_wildcard
from infra.images import Image, repository_arn

Conditions: TypeAlias = Mapping[str, Mapping[str, Any]]
_KEYS = "keys below the prefix are named by whoever runs a job or a batch"


def service_role(
    scope: Construct, id: str, *, service: str, source_arn: str, description: str
) -> iam.Role:
    """A role that `service` assumes only for resources of this account that match `source_arn`."""
    principal = iam.ServicePrincipal(
        service,
        conditions={
            "StringEquals": {"aws:SourceAccount": Stack.of(scope).account},
            "ArnLike": {"aws:SourceArn": source_arn},
        },
    )
    return iam.Role(scope, id, assumed_by=principal, description=description)


def sagemaker_role(scope: Construct, id: str, *, description: str) -> iam.Role:
    """A role for SageMaker's jobs and endpoints in this account and region."""
    return service_role(
        scope,
        id,
        service="sagemaker.amazonaws.com",
        source_arn=arn(scope, "sagemaker", "*"),
        description=description,
    )


def arn(scope: IConstruct, service: str, resource: str) -> str:
    """The ARN of `resource`, as endpoint/name, in the scope's account and region."""
    stack = Stack.of(scope)
    return f"arn:{stack.partition}:{service}:{stack.region}:{stack.account}:{resource}"


def allow(
    role: iam.Role,
    *actions: str,
    on: Sequence[str],
    conditions: Conditions | None = None,
    wildcard_because: str = "",
) -> iam.Grant:
    """Exact actions on `on`; a `*` in it takes a reason."""
    for resource in on:
        if "*" in resource:
            acknowledge_wildcard(role, resource, wildcard_because)
    return iam.Grant.add_to_principal(
        grantee=role, actions=list(actions), resource_arns=list(on), conditions=conditions
    )


def grant_read_objects(bucket: s3.IBucket, role: iam.Role, *prefixes: str) -> list[iam.Grant]:
    """Reads the objects whose keys match `prefixes` (as `runs/*`), and lists them."""
    # SageMaker lists a prefix before it copies it.
    listed = {"StringLike": {"s3:prefix": list(prefixes)}}
    return [
        grant_objects(bucket, role, "s3:GetObject", keys=prefixes),
        allow(role, "s3:ListBucket", on=[bucket.bucket_arn], conditions=listed),
    ]


def grant_write_objects(bucket: s3.IBucket, role: iam.Role, *prefixes: str) -> iam.Grant:
    """Writes objects whose keys match `prefixes`, large ones in parts."""
    return grant_objects(bucket, role, "s3:AbortMultipartUpload", "s3:PutObject", keys=prefixes)


def grant_objects(
    bucket: s3.IBucket, role: iam.Role, *actions: str, keys: Sequence[str]
) -> iam.Grant:
    """Exact actions on the objects whose keys match `keys`."""
    for key in keys:
        if "*" in key:
            acknowledge_wildcard(role, f"{{}}/{key}", _KEYS, of=(bucket, bucket.bucket_arn))
    return iam.Grant.add_to_principal(
        grantee=role,
        actions=list(actions),
        resource_arns=[bucket.arn_for_objects(key) for key in keys],
    )


def grant_read_secret(scope: Construct, role: iam.Role, name: str) -> iam.Grant:
    """Reads a secret by its name, to whose ARN Secrets Manager adds six characters."""
    secret = f"{arn(scope, 'secretsmanager', f'secret:{name}')}-??????"
    return allow(role, "secretsmanager:GetSecretValue", on=[secret])


def grant_read_inputs(scope: Construct, role: iam.Role, buckets: Sequence[str]) -> None:
    """Reads every object of buckets that the stage names for the inputs of batches."""
    partition = Stack.of(scope).partition
    if buckets:
        allow(
            role,
            "s3:GetObject",
            on=[f"arn:{partition}:s3:::{bucket}/*" for bucket in buckets],
            wildcard_because="whoever starts a batch names its input",
        )


def grant_use_key(key: kms.IKey, role: iam.Role) -> iam.Grant:
    """Uses the key for objects in S3, when S3 asks for it."""
    stack = Stack.of(key)
    through_s3 = {"StringEquals": {"kms:ViaService": f"s3.{stack.region}.amazonaws.com"}}
    actions = ["kms:Decrypt", "kms:GenerateDataKey"]
    return allow(role, *actions, on=[key.key_arn], conditions=through_s3)


def grant_use_table(table: dynamodb.ITable, role: iam.Role, *actions: str) -> iam.Grant:
    """Exact actions on a table."""
    return allow(role, *actions, on=[table.table_arn])


def grant_query(table: dynamodb.ITable, index: str, role: iam.Role) -> iam.Grant:
    """Reads one index of a table, in its order."""
    return allow(role, "dynamodb:Query", on=[f"{table.table_arn}/index/{index}"])


def grant_table_key(key: kms.IKey, role: iam.Role) -> iam.Grant:
    """Uses the key for the items of tables, when DynamoDB asks for it."""
    stack = Stack.of(key)
    through = {"StringEquals": {"kms:ViaService": f"dynamodb.{stack.region}.amazonaws.com"}}
    actions = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    return allow(role, *actions, on=[key.key_arn], conditions=through)


def grant_volume_key(key: kms.IKey, role: iam.Role) -> list[iam.Grant]:
    """Lets SageMaker encrypt the volumes of jobs and endpoints."""
    for_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return [
        allow(role, "kms:CreateGrant", on=[key.key_arn], conditions=for_aws),
        allow(role, "kms:DescribeKey", on=[key.key_arn]),
    ]


def grant_pass_role(passed: iam.Role, role: iam.Role, service: str) -> iam.Grant:
    """Hands `passed` to one service and to no other."""
    to_service = {"StringEquals": {"iam:PassedToService": service}}
    return allow(role, "iam:PassRole", on=[passed.role_arn], conditions=to_service)


def grant_read_versions(role: iam.Role, *groups: str) -> iam.Grant:
    """Lists and describes the versions of model package groups."""
    packages = [
        arn(role, "sagemaker", f"{kind}/{group}{below}")
        for group in groups
        for kind, below in (("model-package", "/*"), ("model-package-group", ""))
    ]
    return allow(
        role,
        "sagemaker:DescribeModelPackage",
        "sagemaker:ListModelPackages",
        on=packages,
        wildcard_because="the registry numbers the versions",
    )


def grant_images(role: iam.Role, *images: Image) -> iam.Grant:
    """Reads images of the catalogue; to pull them takes a token as well."""
    stack = Stack.of(role)
    repositories = {repository_arn(stack.region, stack.partition, image) for image in images}
    return allow(
        role,
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        on=sorted(repositories),
    )


def grant_container(
    role: iam.Role, *, images: Sequence[Image], log_groups: Sequence[str], kinds: Sequence[str]
) -> list[iam.Grant]:
    """What every container of SageMaker does with its role: is pulled, logs and counts.

    `log_groups` and `kinds`, the metric namespaces, are named below /aws/sagemaker/.
    """
    groups = [arn(role, "logs", f"log-group:/aws/sagemaker/{name}:*") for name in log_groups]
    namespaces = {"StringEquals": {"cloudwatch:namespace": [f"/aws/sagemaker/{k}" for k in kinds]}}
    return [
        allow(
            role,
            "ecr:GetAuthorizationToken",
            on=["*"],
            wildcard_because="ECR's token belongs to no repository; PutMetricData has no "
            "resources, and its condition names the namespaces",
        ),
        grant_images(role, *images),
        allow(
            role,
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:DescribeLogStreams",
            "logs:PutLogEvents",
            on=groups,
            wildcard_because="SageMaker names the streams",
        ),
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["cloudwatch:PutMetricData"],
            resource_arns=["*"],
            conditions=namespaces,
        ),
    ]
