"""A gzip tar as an asset whose key in S3 ends in .tar.gz, as SageMaker wants it.

The CDK's own `Asset` keeps only the last part of a suffix.
"""

from __future__ import annotations

from aws_cdk import AssetStaging, FileAssetPackaging, Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct


class TarAsset(Construct):
    """One `.tar.gz` in the bucket of assets, under the digest of its contents."""

    def __init__(self, scope: Construct, id: str, *, path: str) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        staged = AssetStaging(self, "Staged", source_path=path)
        self.digest = staged.asset_hash
        location = stack.synthesizer.add_file_asset(
            source_hash=f"{self.digest}.tar",
            file_name=staged.relative_staged_path(stack),
            packaging=FileAssetPackaging.FILE,
        )
        self.bucket = s3.Bucket.from_bucket_name(self, "Bucket", location.bucket_name)
        self.key = location.object_key
        self.uri = location.s3_object_url
