"""What an answer of Google Cloud Storage says went wrong, as one of our classes.

The words of an answer never get into our messages: only the status, and the reason, a single word of Google's.
"""

import json
from typing import Any

from replication.client.http_session import HTTPAnswer, status_error
from replication.errors import DeniedError, LitestreamError, ThrottledError, UnavailableError, UsageError

_THROTTLED = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"}
_MAX_REASON_LENGTH = 60

_UNAUTHENTICATED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404


def answer_error(answer: HTTPAnswer, *, what: str, bucket: str, permission: str, anonymous: bool) -> LitestreamError:
    """Return the error to raise when `what`, which needs `permission`, got this answer."""
    status, reason = answer.status, _reason(answer.body)
    told = f"{status} {reason}".strip()
    is_listing = permission == "storage.objects.list"  # which misses nothing but the bucket
    if status == _NOT_FOUND and (is_listing or b"bucket does not exist" in answer.body):
        return UsageError(f"bucket {bucket} does not exist")
    if status in {_UNAUTHENTICATED, _FORBIDDEN} and anonymous:
        return DeniedError(f"{what}: anonymous access is denied ({told}); it needs {permission} on bucket {bucket}")
    if status == _UNAUTHENTICATED:
        return DeniedError(f"{what}: the credentials were not accepted ({told})")
    if status == _FORBIDDEN and reason in _THROTTLED:
        return ThrottledError(f"{what}: the server asks for fewer requests ({told})")
    if status == _FORBIDDEN:
        return DeniedError(f"{what}: access denied ({told}); it needs {permission} on bucket {bucket}")
    return status_error(what, answer, permission)


def json_answer(answer: HTTPAnswer, what: str) -> dict[str, Any]:
    """Return the object an answer holds.

    Raises:
        UnavailableError: it holds something else.

    """
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        msg = f"{what}: expected an object in JSON, got something else"
        raise UnavailableError(msg)
    return found


def _reason(body: bytes) -> str:
    """Return Google's word for a failure, such as `forbidden`, or nothing."""
    try:
        reason = json.loads(body)["error"]["errors"][0]["reason"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    is_word = isinstance(reason, str) and reason.isascii() and reason.isalpha() and len(reason) < _MAX_REASON_LENGTH
    return reason if is_word else ""
