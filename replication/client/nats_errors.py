"""What nats-py and JetStream say went wrong, as one of our classes.

The server tells of a subject that a user may not use by itself, not in answer to the request, which gets none: see
`parse_denied`. Its texts hold subjects, and no secrets.
"""

import re
import ssl
from typing import TYPE_CHECKING

from replication.errors import DeniedError, LitestreamError, UnavailableError, UsageError

if TYPE_CHECKING:
    from replication.client.nats_config import NatsConfig

NO_STREAM = 10059
NO_MESSAGE = 10037
WRONG_SEQUENCE = 10071
_NOT_ENABLED = {10039, 10076}  # JetStream, for the account, or at all

_PERMISSION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_DENIED_WORDS = ("authorization violation", "authorization failed", "authentication", "user jwt", "account ")


class NatsAPIError(Exception):
    """An answer of JetStream that tells of a failure."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        """Keep the status, JetStream's own code, and its text."""
        super().__init__(description)
        self.code = code
        self.err_code = err_code


class NoResponderError(Exception):
    """Nobody at the server takes such requests."""


class LinkLostError(Exception):
    """The connection ended while an answer was awaited."""


def parse_denied(text: str) -> tuple[str, str] | None:
    """Return what the user may not do, "publish" or "subscription", and with which subject; None for other texts.

    >>> parse_denied('nats: Permissions Violation for Publish to "$JS.API.INFO"')
    ('publish', '$JS.API.INFO')
    """
    found = _PERMISSION.search(text)
    return (found[1].lower(), found[2]) if found else None


def nats_error(error: Exception, what: str, config: "NatsConfig") -> LitestreamError:
    """Return the error to raise when `what` failed."""
    server = f"nats://{config.host}"
    if isinstance(error, NatsAPIError):
        return _api_error(error, what, config)
    if isinstance(error, NoResponderError):
        return UnavailableError(f"{what}: JetStream does not answer at {server}: is it enabled there?")
    if isinstance(error, LinkLostError):
        return UnavailableError(f"{what}: the connection to {server} ended before the answer")
    if isinstance(error, OSError | TimeoutError):
        return _network_error(error, what, server)
    return _client_error(error, what, server)


def _network_error(error: Exception, what: str, server: str) -> LitestreamError:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"the certificate of {server} is not accepted ({error.verify_message})"
        return UsageError(f"{what}: {reason}; root_cas names files of authorities")
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):  # sent by the server
        return DeniedError(f"{what}: {server} does not accept the certificate shown, or wants one ({error.reason})")
    if isinstance(error, ssl.SSLError):
        return UnavailableError(f"{what}: no TLS with {server} ({error.reason or 'the handshake failed'})")
    if isinstance(error, TimeoutError):
        return UnavailableError(f"{what}: no answer in time from {server}")
    reason = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
    return UnavailableError(f"{what}: cannot connect to {server} ({reason})")


def _client_error(error: Exception, what: str, server: str) -> LitestreamError:
    """Return the error for one of nats-py, which has a class for few of the server's texts."""
    text = str(error).lower()
    if any(word in text for word in _DENIED_WORDS):
        return DeniedError(f"{what}: {server} does not accept the credentials")
    if "maximum payload" in text:
        return UsageError(f"{what}: the max_payload of {server} is less than a chunk of a file")
    if "secure connection" in text:
        return UsageError(f"{what}: TLS is asked for, and {server} has none")
    return UnavailableError(f"{what}: the connection to {server} failed ({type(error).__name__})")


def _api_error(error: NatsAPIError, what: str, config: "NatsConfig") -> LitestreamError:
    if error.err_code == NO_STREAM:
        bucket, server = config.bucket, f"nats://{config.host}"
        return UsageError(
            f"there is no object store {bucket} at {server}: create it, for example with: nats object add {bucket}"
        )
    if error.err_code in _NOT_ENABLED:
        return UsageError(f"{what}: JetStream is not enabled for this account ({error})")
    return UnavailableError(f"{what}: JetStream failed ({error.code}, {error})")
