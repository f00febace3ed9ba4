"""In what Alibaba Cloud OSS differs from S3, whose API it speaks too, and what its error codes mean."""

import re

from replication.client.object_errors import Codes
from replication.client.object_traits import Permissions, Traits

OSS_TRAITS = Traits(
    protocol="the S3 API of OSS",
    permissions=Permissions(
        read="oss:GetObject", list="oss:ListObjects", write="oss:PutObject", delete="oss:DeleteObject"
    ),
    level_format="{level:04x}",
    timestamp_key="litestream-timestamp",
    hides_missing=True,
    # The documentation of OSS does not say that its S3 API honours If-None-Match and If-Match, and a server that
    # passes over them would write all the same. So there is a listing before such a write, and no lease.
    has_conditions=False,
)

OSS_CODES = Codes(
    no_bucket="NoSuchBucket",
    wrong_keys={
        "InvalidAccessKeyId": "the access key id is unknown",
        "SignatureDoesNotMatch": "the secret access key does not match the access key id",
        "InvalidSecurityToken": "the session token is not valid",
        "SecurityTokenExpired": "the session token has expired",
        "RequestTimeTooSkewed": "this machine's clock is too far from the server's",
    },
    throttled=frozenset({"SlowDown", "Throttling", "QpsLimitExceeded", "TooManyRequests"}),
    passing=frozenset({"RequestTimeout", "IncompleteBody", "BadDigest"}),
    # A bucket of another region refuses and names its own address.
    wrong_region=frozenset({"AccessDenied"}),
    region=re.compile(r"<Endpoint>(?:s3\.)?oss-([a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com</Endpoint>"),
    # OSS wants an MD5 of a list of objects to delete, where obstore sends another digest.
    no_bulk_delete=frozenset(
        {"InvalidArgument", "InvalidDigest", "InvalidRequest", "MissingArgument", "MissingContentMD5", "NotImplemented"}
    ),
)
