"""How nats-py is told to log in, and to verify the server; files are read for each connection, so they may change."""

import ssl
from pathlib import Path
from typing import Any

from nats.aio.client import RawCredentials

from replication.client.nats_config import NatsConfig, NatsCredentials
from replication.errors import UsageError

_BEGIN_JWT, _BEGIN_SEED = "-----BEGIN NATS USER JWT-----", "-----BEGIN USER NKEY SEED-----"


def credential_options(credentials: NatsCredentials) -> dict[str, Any]:
    """Return what nats-py is told to authenticate with.

    Raises:
        UsageError: the file of the credentials is none.

    """
    if credentials.jwt:
        return {"user_credentials": RawCredentials(_creds_text(credentials.jwt, _checked_seed(credentials.seed)))}
    if credentials.creds:
        return {"user_credentials": RawCredentials(_read_creds(credentials.creds))}
    if credentials.seed:
        return {"nkeys_seed_str": _checked_seed(credentials.seed)}
    if credentials.username:
        return {"user": credentials.username, "password": credentials.password}
    return {"token": credentials.token} if credentials.token else {}


def _creds_text(jwt: str, seed: str) -> str:
    return (
        f"{_BEGIN_JWT}\n{jwt}\n------END NATS USER JWT------\n\n{_BEGIN_SEED}\n{seed}\n------END USER NKEY SEED------\n"
    )


def _checked_seed(seed: str) -> str:
    try:
        import nkeys  # type: ignore[import-untyped]  # noqa: PLC0415 - of few installations
    except ImportError as error:
        msg = "NKeys need one more library: pip install apsw-litestream[nats]"
        raise UsageError(msg) from error
    try:
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except Exception:  # noqa: BLE001 - the library has no common class for what is no seed
        msg = "expected the seed of an NKey, which begins with SU, got something else"
        raise UsageError(msg) from None
    return seed


def _read_creds(path: str) -> str:
    try:
        text = Path(path).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read creds {path!r}: {type(error).__name__}"
        raise UsageError(msg) from error
    if _BEGIN_JWT not in text or _BEGIN_SEED not in text:  # nats-py would look for them for ever
        msg = f"expected a file with a NATS user's JWT and seed as creds, got {path!r}"
        raise UsageError(msg)
    return text


def tls_context(config: NatsConfig) -> ssl.SSLContext:
    """Return how to verify the server, and what to show it.

    Raises:
        UsageError: a file does not hold what it should.

    """
    try:
        context = ssl.create_default_context()
        for path in config.root_cas:
            context.load_verify_locations(path)
        if config.client_cert:
            context.load_cert_chain(config.client_cert, config.client_key)
    except OSError as error:  # SSLError is one
        msg = f"root_cas, client_cert or client_key cannot be used: {error.strerror or type(error).__name__}"
        raise UsageError(msg) from error
    return context
