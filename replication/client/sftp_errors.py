"""What asyncssh and SFTP servers say went wrong, as one of our classes.

A server of version 3, as OpenSSH is, has few codes: for a full disk as for a name that is taken it says "Failure".
Texts come from the server, so they are cut and freed of control characters.
"""

import socket

import asyncssh

from replication.client.sftp_config import SFTPConfig
from replication.errors import DeniedError, LitestreamError, LTXMissingError, UnavailableError, UsageError

MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory)
EXISTS = (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists)
"""What `mkdir`, `link` and `rename` say of a name that is taken, and of other things too."""

_LOST = (
    asyncssh.ConnectionLost,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
    ConnectionError,
    EOFError,
)
_FORBIDDEN = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect)
_MAX_REASON_LENGTH = 100


class BrokenAnswerError(Exception):
    """The server's answer cannot be right; the text says why."""


FOREIGN = (asyncssh.Error, OSError, EOFError, BrokenAnswerError)
"""What goes wrong outside of this process; anything else is a mistake of ours."""


def is_lost(error: BaseException) -> bool:
    """Say whether the connection is of no use any more."""
    return isinstance(error, _LOST) or (
        isinstance(error, asyncssh.DisconnectError)
        and not isinstance(error, asyncssh.PermissionDenied | asyncssh.HostKeyNotVerifiable)
    )


def sftp_error(
    error: Exception, what: str, config: SFTPConfig, missing: type[LitestreamError] = LTXMissingError
) -> LitestreamError:
    """Return the error to raise when `what` failed; `missing` is its class where a file is not there."""
    what = f"{what} at {config.server}"
    if isinstance(error, asyncssh.SFTPError) and not is_lost(error):
        return _answer_error(error, what, missing)
    if isinstance(error, BrokenAnswerError):
        return UnavailableError(f"{what}: {error}")
    return _connection_error(error, what, config)


def _answer_error(error: asyncssh.SFTPError, what: str, missing: type[LitestreamError]) -> LitestreamError:
    """Return the error for a status of the server."""
    if isinstance(error, MISSING):
        return missing(f"{what}: no such file")
    if isinstance(error, _FORBIDDEN):
        return DeniedError(f"{what}: the user has no permission")
    if isinstance(error, asyncssh.SFTPOpUnsupported):
        return UsageError(f"{what}: the server cannot do that ({_reason(error)})")
    return UnavailableError(f"{what}: the server failed ({_reason(error)})")


def _connection_error(error: Exception, what: str, config: SFTPConfig) -> LitestreamError:
    if isinstance(error, asyncssh.PermissionDenied):
        return DeniedError(f"{what}: {_refused_credentials(config)}")
    if isinstance(error, asyncssh.KeyExchangeFailed | asyncssh.ProtocolNotSupported):
        return UsageError(f"{what}: the server and asyncssh share no algorithm or version ({_reason(error)})")
    if isinstance(error, asyncssh.ChannelOpenError):
        return DeniedError(f"{what}: the server gives this user no SFTP session ({_reason(error)})")
    return UnavailableError(f"{what}: {_passing_reason(error)}")


def _passing_reason(error: Exception) -> str:
    """Return what is wrong with the connection, in words."""
    if isinstance(error, ConnectionRefusedError):
        return "cannot connect (connection refused)"
    if is_lost(error):
        return "the connection ended before the answer"
    if isinstance(error, socket.gaierror):
        return "the name of the host is not known"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    strerror = error.strerror if isinstance(error, OSError) else ""
    return f"cannot connect ({strerror or type(error).__name__})"


def _refused_credentials(config: SFTPConfig) -> str:
    """Return which credentials were not good enough."""
    tried = []
    if config.key_path:
        tried.append(f"the key {config.key_path}")
    if config.password:
        tried.append("the password")
    text = " and ".join(tried) if tried else "any key of the agent or in ~/.ssh"
    return f"the server does not accept {text} for the user {config.user}"


def _reason(error: Exception) -> str:
    """Return the other side's text, fit to be shown."""
    text = str(getattr(error, "reason", "") or type(error).__name__)
    return "".join(character for character in text if character.isprintable())[:_MAX_REASON_LENGTH]
