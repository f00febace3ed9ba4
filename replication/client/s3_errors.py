"""What obstore says went wrong with S3, as one of our classes.

obstore has few error types; the rest stands in the text: the HTTP status, S3's error code, the kind of network
failure. The text itself never gets into our messages, and the error is not chained: S3's answer to a wrong signature
repeats the signed headers, session token included.
"""

import re
from dataclasses import dataclass

from replication.errors import (
    DeniedError,
    LitestreamError,
    LTXMissingError,
    ThrottledError,
    UnavailableError,
    UsageError,
)

_STATUS = re.compile(r"status code: ([0-9]{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]+)</Code>")
_REGION = re.compile(r"<Region>([a-z0-9-]+)</Region>")
_NETWORK = re.compile(r"kind: (Timeout|Connect|Interrupted|Decode|Request|Unknown)")

_NETWORK_WORDS = {
    "Timeout": "no answer in time",
    "Connect": "cannot connect",
    "Interrupted": "the connection broke in the middle of the answer",
}
_WRONG_KEYS = {
    "InvalidAccessKeyId": "the access key id is unknown",
    "SignatureDoesNotMatch": "the secret access key does not match the access key id",
    "ExpiredToken": "the session token has expired",
    "InvalidToken": "the session token is not valid",
    "TokenRefreshRequired": "the session token has expired",
    "RequestTimeTooSkewed": "this machine's clock is too far from the server's",
}
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"}
_THROTTLED_STATUS = {429, 503}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_PASSING = {"RequestTimeout", "RequestTimeoutException", "IncompleteBody", "BadDigest", "OperationAborted"}
_NO_BULK_DELETE = {
    "InvalidRequest",
    "MissingContentMD5",
    "InvalidDigest",
    "BadDigest",
    "NotImplemented",
    "MalformedXML",
}
_NO_BULK_STATUS = {400, 405, 411, 501}

_PRECONDITION = {"PreconditionError", "AlreadyExistsError"}
_CONDITION_FAILED = {409, 412}  # ConditionalRequestConflict, PreconditionFailed

_FORBIDDEN = 403
_NOT_FOUND = 404
_RANGE = 416
_SERVER_ERRORS = 500
_NOT_IMPLEMENTED = 501


@dataclass(frozen=True, slots=True)
class S3Failure:
    """A failed request: HTTP status (0 if none came), S3's code, the network's word, and the region S3 named."""

    status: int = 0
    code: str = ""
    network: str = ""
    region: str = ""
    precondition: bool = False
    unauthenticated: bool = False
    redirect: bool = False

    @property
    def range_is_past_the_end(self) -> bool:
        """Whether no byte of the range asked for exists."""
        return self.status == _RANGE

    @property
    def is_missing(self) -> bool:
        """Whether the bucket is there and the object is not."""
        return self.status == _NOT_FOUND and self.code != "NoSuchBucket"

    @property
    def is_taken(self) -> bool:
        """Whether an object was not written because there is one of that name, or another is just being written."""
        return self.precondition or self.status in _CONDITION_FAILED

    @property
    def is_not_implemented(self) -> bool:
        """Whether the server does not know what it was asked for."""
        return self.status == _NOT_IMPLEMENTED or self.code == "NotImplemented"

    @property
    def is_forbidden(self) -> bool:
        """Whether the keys are right and the policy says no."""
        return self.status == _FORBIDDEN and self.code not in _WRONG_KEYS

    @property
    def is_wrong_region(self) -> bool:
        """Whether the bucket is in another region."""
        return self.redirect or (self.code in _WRONG_REGION and (bool(self.region) or self.code == "PermanentRedirect"))

    @property
    def refuses_bulk_delete(self) -> bool:
        """Whether the server may take single deletes all the same."""
        return self.status in _NO_BULK_STATUS and (not self.code or self.code in _NO_BULK_DELETE)


def read_failure(error: BaseException) -> S3Failure:
    """Return what an error of obstore tells."""
    text = str(error)
    status, code, network, region = (found[1] if found else "" for found in _search(text))
    name = type(error).__name__
    return S3Failure(
        status=int(status or (_NOT_FOUND if isinstance(error, FileNotFoundError) else 0)),
        code=code,
        network=network,
        region=region,
        precondition=name in _PRECONDITION,
        unauthenticated=name == "UnauthenticatedError",
        redirect="BareRedirect" in text,
    )


def failure_error(failure: S3Failure, *, what: str, server: str, bucket: str, permission: str) -> LitestreamError:
    """Return the error to raise when `what`, which needs `permission`, failed."""
    if failure.status == 0 and not failure.redirect and not failure.unauthenticated:
        return UnavailableError(f"{what}: {_NETWORK_WORDS.get(failure.network, 'the request failed')} ({server})")
    if failure.precondition:
        return LTXMissingError(f"{what}: the object was replaced by another one")
    if failure.is_missing:
        return LTXMissingError(f"{what}: no such object")
    if failure.code == "NoSuchBucket":
        return UsageError(f"bucket {bucket} does not exist")
    if failure.is_wrong_region:
        where = f"region {failure.region}" if failure.region else "another region"
        return UsageError(f"bucket {bucket} is in {where}: set region in the URL")
    answer = " ".join(filter(None, [str(failure.status or ""), failure.code])) or "no answer"
    return _denied_error(failure, what, answer, permission) or _passing_error(failure, what, answer)


def _denied_error(failure: S3Failure, what: str, answer: str, permission: str) -> LitestreamError | None:
    """Return the error for wrong keys and for what the policy forbids."""
    if failure.code in _WRONG_KEYS:
        return DeniedError(f"{what}: {_WRONG_KEYS[failure.code]} ({answer})")
    if failure.unauthenticated:
        return DeniedError(f"{what}: the credentials were not accepted ({answer})")
    if failure.status == _FORBIDDEN:
        return DeniedError(f"{what}: access denied ({answer}); it needs {permission}")
    return None


def _passing_error(failure: S3Failure, what: str, answer: str) -> LitestreamError:
    """Return the error for what time may heal, and for what is left."""
    if failure.code in _THROTTLED or (failure.status in _THROTTLED_STATUS and failure.code != "ServiceUnavailable"):
        return ThrottledError(f"{what}: the server asks for fewer requests ({answer})")
    if failure.status >= _SERVER_ERRORS or failure.code in _PASSING:
        return UnavailableError(f"{what}: the server failed ({answer})")
    return UsageError(f"{what}: the server refuses such a request ({answer})")


def _search(text: str) -> list[re.Match[str] | None]:
    return [pattern.search(text) for pattern in (_STATUS, _CODE, _NETWORK, _REGION)]
