"""What obstore says went wrong, as one of our classes; what the error codes mean is each store's own (`Codes`).

obstore has few error types; the rest stands in the text: the HTTP status, the store's error code, the kind of network
failure. The text itself never gets into our messages, and the error is not chained: S3's answer to a wrong signature
repeats the signed headers, session token included, and an address of Azure may hold a SAS token.
"""

import re
from collections.abc import Mapping
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
_NETWORK = re.compile(r"kind: (Timeout|Connect|Interrupted|Decode|Request|Unknown)")
_DELETED = re.compile(r"Bulk delete request failed for key .*\(code: (?:([0-9]{3})|([A-Za-z0-9.]+))\)")
_PAST_THE_END = "Wanted range starting at"  # obstore's own words where a server answers with nothing instead of 416
_TOKEN_REQUEST = "Error performing token request"  # noqa: S105 - words of obstore
_MACHINE_IDENTITY = "//169.254.169.254/"  # where a machine in a cloud asks who it is; elsewhere nobody answers

_NETWORK_WORDS = {
    "Timeout": "no answer in time",
    "Connect": "cannot connect",
    "Interrupted": "the connection broke in the middle of the answer",
}
_THROTTLED_STATUS = {429, 503}
_NO_BULK_STATUS = {400, 405, 411, 501}

_PRECONDITION = {"PreconditionError", "AlreadyExistsError"}
_CONDITION_FAILED = {409, 412}  # ConditionalRequestConflict, PreconditionFailed

_FORBIDDEN = 403
_NOT_FOUND = 404
_RANGE = 416
_SERVER_ERRORS = 500
_NOT_IMPLEMENTED = 501


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """The error codes of one kind of store.

    `wrong_keys` says in words what is wrong with the credentials; `passing` are those that time may heal; `taken` are
    those of a condition that failed, None where the status says enough. `region` finds the region that an answer with
    one of the codes `wrong_region` names.
    """

    bucket_word: str = "bucket"
    no_bucket: str
    wrong_keys: Mapping[str, str]
    throttled: frozenset[str]
    passing: frozenset[str]
    taken: frozenset[str] | None = None
    wrong_region: frozenset[str] = frozenset()
    region: re.Pattern[str] = re.compile(r"<Region>([a-z0-9-]+)</Region>")
    no_bulk_delete: frozenset[str] = frozenset()
    sign_in_hint: str = "sign in"  # what to do where credentials are tokens, and there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed request: HTTP status (0 if none came), the store's code, the network's word, and the region it named.

    `token` says that not the store failed but who gives tokens for it: "refused" or "absent".
    """

    codes: Codes
    status: int = 0
    code: str = ""
    network: str = ""
    region: str = ""
    precondition: bool = False
    unauthenticated: bool = False
    redirect: bool = False
    token: str = ""

    @property
    def range_is_past_the_end(self) -> bool:
        """Whether no byte of the range asked for exists."""
        return self.status == _RANGE

    @property
    def is_missing(self) -> bool:
        """Whether the bucket is there and the object is not."""
        return self.status == _NOT_FOUND and self.code != self.codes.no_bucket and not self.token

    @property
    def is_taken(self) -> bool:
        """Whether an object was not written because there is one of that name, or another is just being written."""
        return self.precondition or (self.status in _CONDITION_FAILED and _is_condition(self.codes, self.code))

    @property
    def is_not_implemented(self) -> bool:
        """Whether the server does not know what it was asked for."""
        return self.status == _NOT_IMPLEMENTED or self.code == "NotImplemented"

    @property
    def is_forbidden(self) -> bool:
        """Whether the keys are right and the policy says no."""
        return self.status == _FORBIDDEN and self.code not in self.codes.wrong_keys and not self.token

    @property
    def is_wrong_region(self) -> bool:
        """Whether the bucket is in another region."""
        named = bool(self.region) or self.code == "PermanentRedirect"
        return self.redirect or (self.code in self.codes.wrong_region and named)

    @property
    def refuses_bulk_delete(self) -> bool:
        """Whether the server may take single deletes all the same."""
        return self.status in _NO_BULK_STATUS and (not self.code or self.code in self.codes.no_bulk_delete)


def read_failure(error: BaseException, codes: Codes) -> Failure:
    """Return what an error of obstore tells."""
    text = str(error)
    patterns = (_STATUS, _CODE, _NETWORK, codes.region)
    status, code, network, region = (found[1] if found else "" for found in (each.search(text) for each in patterns))
    if deleted := _DELETED.search(text):  # of many objects this one was not deleted
        status, code = status or deleted[1] or "", code or deleted[2] or ""
    name = type(error).__name__
    return Failure(
        codes=codes,
        status=int(status or _status_of(error)),
        code=code,
        network=network,
        region=region,
        precondition=name in _PRECONDITION and _is_condition(codes, code),
        unauthenticated=name == "UnauthenticatedError",
        redirect="BareRedirect" in text,
        token=_token_word(text, status, network),
    )


def failure_error(failure: Failure, *, what: str, server: str, bucket: str, permission: str) -> LitestreamError:
    """Return the error to raise when `what`, which needs `permission`, failed."""
    word = failure.codes.bucket_word
    unanswered = _unanswered_error(failure, what, server)
    if unanswered is not None:
        return unanswered
    if failure.precondition:
        return LTXMissingError(f"{what}: the object was replaced by another one")
    if failure.is_missing:
        return LTXMissingError(f"{what}: no such object")
    if failure.code == failure.codes.no_bucket:
        return UsageError(f"{word} {bucket} does not exist")
    if failure.is_wrong_region:
        where = f"region {failure.region}" if failure.region else "another region"
        return UsageError(f"{word} {bucket} is in {where}: set region in the URL")
    answer = " ".join(filter(None, [str(failure.status or ""), failure.code])) or "no answer"
    return _denied_error(failure, what, answer, permission) or _passing_error(failure, what, answer)


def _unanswered_error(failure: Failure, what: str, server: str) -> LitestreamError | None:
    """Return the error for a request that no answer came to, and for one that was not sent for lack of a token."""
    reason = _NETWORK_WORDS.get(failure.network, "the request failed")
    if failure.token == "refused":  # noqa: S105
        return DeniedError(f"{what}: no token for {server}: {failure.codes.sign_in_hint}")
    if failure.token:
        return UnavailableError(f"{what}: {reason} (who gives tokens for {server})")
    if failure.status == 0 and not failure.redirect and not failure.unauthenticated:
        return UnavailableError(f"{what}: {reason} ({server})")
    return None


def _denied_error(failure: Failure, what: str, answer: str, permission: str) -> LitestreamError | None:
    """Return the error for wrong keys and for what the policy forbids."""
    wrong_keys = failure.codes.wrong_keys
    if failure.code in wrong_keys:
        return DeniedError(f"{what}: {wrong_keys[failure.code]} ({answer})")
    if failure.unauthenticated:
        return DeniedError(f"{what}: the credentials were not accepted ({answer})")
    if failure.status == _FORBIDDEN:
        return DeniedError(f"{what}: access denied ({answer}); it needs {permission}")
    return None


def _passing_error(failure: Failure, what: str, answer: str) -> LitestreamError:
    """Return the error for what time may heal, and for what is left."""
    codes = failure.codes
    if failure.code in codes.throttled or (
        failure.status in _THROTTLED_STATUS and failure.code != "ServiceUnavailable"
    ):
        return ThrottledError(f"{what}: the server asks for fewer requests ({answer})")
    if failure.status >= _SERVER_ERRORS or failure.code in codes.passing:
        return UnavailableError(f"{what}: the server failed ({answer})")
    return UsageError(f"{what}: the server refuses such a request ({answer})")


def _is_condition(codes: Codes, code: str) -> bool:
    """Say whether a conflict with a code, empty in the answer to a HEAD, means that a condition failed."""
    return codes.taken is None or not code or code in codes.taken


def _status_of(error: BaseException) -> int:
    """Return the status that a kind of error stands for where its text has none."""
    if isinstance(error, FileNotFoundError):
        return _NOT_FOUND
    if _PAST_THE_END in str(error):
        return _RANGE
    return _FORBIDDEN if type(error).__name__ == "PermissionDeniedError" else 0


def _token_word(text: str, status: str, network: str) -> str:
    """Say why there was no token, if that was it: what was asked for one refused, or did not answer."""
    if _TOKEN_REQUEST not in text:
        return ""
    refused = 0 < int(status or 0) < _SERVER_ERRORS or (bool(network) and _MACHINE_IDENTITY in text)
    return "refused" if refused else "absent"
