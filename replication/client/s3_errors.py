"""What the error codes of S3 mean."""

from replication.client.object_errors import Codes

S3_CODES = Codes(
    no_bucket="NoSuchBucket",
    wrong_keys={
        "InvalidAccessKeyId": "the access key id is unknown",
        "SignatureDoesNotMatch": "the secret access key does not match the access key id",
        "ExpiredToken": "the session token has expired",
        "InvalidToken": "the session token is not valid",
        "TokenRefreshRequired": "the session token has expired",
        "RequestTimeTooSkewed": "this machine's clock is too far from the server's",
    },
    throttled=frozenset(
        {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"},
    ),
    passing=frozenset({"RequestTimeout", "RequestTimeoutException", "IncompleteBody", "BadDigest", "OperationAborted"}),
    wrong_region=frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}),
    no_bulk_delete=frozenset(
        {"InvalidRequest", "MissingContentMD5", "InvalidDigest", "BadDigest", "NotImplemented", "MalformedXML"},
    ),
)
