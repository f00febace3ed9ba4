"""In what S3 differs from other stores."""

from replication.client.object_traits import Permissions, Traits

S3_TRAITS = Traits(
    protocol="S3",
    permissions=Permissions(read="s3:GetObject", list="s3:ListBucket", write="s3:PutObject", delete="s3:DeleteObject"),
    level_format="{level:04x}",
    timestamp_key="litestream-timestamp",
    hides_missing=True,
    has_conditions=True,
)
