"""What outlives every model: the key, and the buckets of data, artifacts and access logs."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import results
from infra.acknowledged import acknowledge
from infra.api_settings import ApiSettings
from infra.kept import removal_policy
from infra.settings import Settings

# Below these the data bucket holds what batches make, and what callers upload for them.
RUNS, UPLOADS = "batches/runs/", "uploads/"


class StorageStack(Stack):
    """The key and the buckets."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        self._removal = removal_policy(settings)
        self.key = kms.Key(
            self,
            "Key",
            description=f"data and models of {settings.prefix}",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )
        self._logs = self._access_logs(settings.logs.retention_days)
        self.data = self._encrypted_bucket("Data")
        self._expire_batches(settings.api.batches.expire_days)
        self._tell_of_uploads()
        self._open_to_pages(settings.api)
        self.artifacts = self._encrypted_bucket("Artifacts")
        self.data.add_lifecycle_rule(
            prefix=results.PREFIX,
            expiration=Duration.days(results.KEPT_DAYS),
            noncurrent_version_expiration=Duration.days(1),
        )
        # A job that is interrupted goes on within days, or never.
        self.artifacts.add_lifecycle_rule(
            prefix="checkpoints/",
            expiration=Duration.days(7),
            noncurrent_version_expiration=Duration.days(1),
        )
        CfnOutput(self, "DataBucketName", value=self.data.bucket_name)
        CfnOutput(self, "ArtifactBucketName", value=self.artifacts.bucket_name)

    def _expire_batches(self, days: int) -> None:
        # What people put elsewhere below batches/ is theirs, and stays.
        for prefix in (RUNS, UPLOADS):
            self.data.add_lifecycle_rule(
                prefix=prefix,
                expiration=Duration.days(days),
                noncurrent_version_expiration=Duration.days(1),
            )

    def _tell_of_uploads(self) -> None:
        # The L2's own setting would bring a function of its own to set this one property.
        bucket = self.data.node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
                event_bridge_enabled=True
            )
        )

    def _open_to_pages(self, api: ApiSettings) -> None:
        """Let pages in a browser use the signed addresses, which alone open anything."""
        origins = list(api.cors.origins) if api.cors else []
        if api.pages.playground:
            # The API's own address holds an id that exists after this bucket.
            origins.append(f"https://*.execute-api.{self.region}.{self.url_suffix}")
        if origins:
            self.data.add_cors_rule(
                allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.PUT],
                allowed_origins=origins,
                allowed_headers=["content-type"],
                max_age=3600,
            )

    def _access_logs(self, retention_days: int) -> s3.Bucket:
        # S3 delivers access logs to buckets with its own key only.
        bucket = s3.Bucket(
            self,
            "Logs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=Duration.days(retention_days),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
            removal_policy=self._removal,
        )
        acknowledge(bucket, "AwsSolutions-S1", "what receives access logs does not log itself")
        return bucket

    def _encrypted_bucket(self, id: str) -> s3.Bucket:
        return s3.Bucket(
            self,
            id,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            server_access_logs_bucket=self._logs,
            server_access_logs_prefix=f"{id.lower()}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=Duration.days(90),
                    expired_object_delete_marker=True,
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
            removal_policy=self._removal,
        )
