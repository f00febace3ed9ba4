"""Options of a read replica, and the URI parameters that set them: `file:NAME?vfs=litestream&poll_interval=100ms`.

Names and forms are those of the Litestream extension where it has them. What is not known, not understood or not
built yet is refused by name, never passed over.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from replication.errors import UsageError
from replication.position import TXID, parse_txid
from vfs.duration import format_duration, parse_duration, parse_size

VFS_NAME = "litestream"

DEFAULT_POLL_INTERVAL_S = 1.0
DEFAULT_CACHE_SIZE = 10 * 2**20  # bytes
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_PREFETCH = True
DEFAULT_PREFETCH_SIZE = 8 * 2**20  # bytes

MIN_POLL_INTERVAL_S = 0.01
MIN_TIMEOUT_S = 0.001
MIN_PREFETCH_SIZE = 64 * 2**10  # bytes
MAX_PREFETCH_SIZE = 2**30
MAX_DURATION_S = 24 * 3600.0

SQLITE_PARAMETERS = frozenset({"vfs", "mode", "cache", "modeof", "psow"})
REFUSED_PARAMETERS = {
    "immutable": "SQLite would not look for changes, and mix pages of several transactions",
    "nolock": "SQLite would not lock, and mix pages of several transactions",
}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a read replica is opened, read and kept up to date.

    `cache_size` is in bytes, negative for no page cache. `prefetch` may be a number of bytes. `time` and `txid` say
    where to stand still; without them the replica is followed.
    """

    replica_url: str | None = field(default=None, repr=False)  # may hold credentials
    poll_interval_s: float = DEFAULT_POLL_INTERVAL_S
    cache_size: int = DEFAULT_CACHE_SIZE
    timeout_s: float = DEFAULT_TIMEOUT_S
    max_staleness_s: float | None = None
    prefetch: bool | int = DEFAULT_PREFETCH
    cache_dir: str | None = None
    hydration_enabled: bool = False
    hydration_path: str | None = None
    time: str | None = None
    txid: TXID | None = None


def parse_parameters(parameters: Mapping[str, str], base: Options) -> Options:
    """Return the options with what a URI's parameters say put over them, checked.

    Raises:
        UsageError: a parameter is unknown, refused, not supported yet, or has a value that means nothing.

    """
    if "time" in parameters and "txid" in parameters:
        msg = "expected one of the parameters time and txid, got both"
        raise UsageError(msg)
    changes: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in SQLITE_PARAMETERS:
            continue
        if name in REFUSED_PARAMETERS:
            msg = f"parameter {name} is refused: {REFUSED_PARAMETERS[name]}"
            raise UsageError(msg)
        if name not in _PARSERS:
            raise _unknown(name)
        option, parse = _PARSERS[name]
        try:
            changes[option] = parse(value)
        except UsageError as error:
            msg = f"parameter {name}={value}: {error}"
            raise UsageError(msg) from error
    # One target replaces the other, which may stand in the base.
    if "time" in changes:
        changes["txid"] = None
    elif "txid" in changes:
        changes["time"] = None
    return check_options(replace(base, **changes))


def check_options(options: Options) -> Options:
    """Return the options, a cache size of 0 turned into the default.

    Raises:
        UsageError: a value is out of its range, or asks for what is not supported yet.

    """
    if options.time is not None and options.txid is not None:
        msg = "expected one of time and txid, got both"
        raise UsageError(msg)
    for name, check in _CHECKS.items():
        value = getattr(options, name)
        if value is None and name in _OPTIONAL:
            continue
        try:
            check(value)
        except UsageError as error:
            msg = f"{name}={value}: {error}"
            raise UsageError(msg) from error
    return replace(options, cache_size=options.cache_size or DEFAULT_CACHE_SIZE)


def build_uri(name: str, parameters: Mapping[str, str] = MappingProxyType({}), *, vfs: str = VFS_NAME) -> str:
    """Return the URI that opens a name with a VFS, and with parameters if there are any.

    >>> build_uri("app data", {"time": "-5 minutes"})
    'file:app%20data?vfs=litestream&time=-5%20minutes'

    Raises:
        UsageError: SQLite would read another name or parameter out of any URI.

    """
    if not name or not all(parameters):
        msg = f"expected a name and parameters that are not empty, got {name!r} and {sorted(parameters)}"
        raise UsageError(msg)
    if any("\0" in text for text in (name, *parameters, *parameters.values())):
        msg = "expected a name and parameters without zero bytes"
        raise UsageError(msg)
    path = quote(name, safe="/:")
    if path.startswith("//"):
        path = "%2F" + path[1:]  # else SQLite takes the first part for the name of a host
    query = "&".join(
        f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in {"vfs": vfs, **parameters}.items()
    )
    return f"file:{path}?{query}"


def _unknown(name: str) -> UsageError:
    known = sorted([*_PARSERS, *SQLITE_PARAMETERS])
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    return UsageError(f"unknown parameter {name!r}: {hint}")


def _parse_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    msg = f"expected 1, 0, true, false, yes, no, on or off, got {text!r}"
    raise UsageError(msg)


def _parse_text(text: str) -> str:
    if not text:
        msg = "expected a value, got none"
        raise UsageError(msg)
    return text


def parse_prefetch(text: str) -> bool | int:
    """Return what a text says of fetching ahead: on, off, or a size, as bytes or `16MiB`.

    Raises:
        UsageError: it says none of them.

    """
    if text.lower() in _TRUE | _FALSE:
        return _parse_bool(text)
    try:
        size = parse_size(text)
    except UsageError as error:
        msg = f"expected on, off, or a size such as 16MiB, got {text!r}"
        raise UsageError(msg) from error
    check_prefetch(size)
    return size


def prefetch_size(prefetch: bool | int) -> int:  # noqa: FBT001 - the option itself
    """Return how many bytes may be fetched ahead and unused, for a connection; 0 for none."""
    return DEFAULT_PREFETCH_SIZE * prefetch if isinstance(prefetch, bool) else prefetch


def _check_seconds(seconds: object, *, least: float) -> None:
    if not isinstance(seconds, int | float):
        msg = f"expected a number of seconds, got {seconds!r}"
        raise UsageError(msg)
    if not least <= seconds <= MAX_DURATION_S:
        msg = (
            f"expected a duration from {format_duration(least)} to {format_duration(MAX_DURATION_S)}, got {seconds:g} s"
        )
        raise UsageError(msg)


def _check_off(value: object) -> None:
    if value:
        raise _not_yet()


def _check_txid(txid: TXID) -> None:
    if txid < 1:
        msg = f"expected a TXID from 1 on, got {txid}"
        raise UsageError(msg)


def _check_size(size: object) -> None:
    if isinstance(size, bool) or not isinstance(size, int):
        msg = "expected a number of bytes"
        raise UsageError(msg)


def check_prefetch(value: object) -> None:
    """Raise if this cannot be how much is fetched ahead.

    Raises:
        UsageError: it is neither a truth value nor a size in the bounds.

    """
    if not isinstance(value, int) or not (isinstance(value, bool) or MIN_PREFETCH_SIZE <= value <= MAX_PREFETCH_SIZE):
        msg = f"expected on, off, or from {MIN_PREFETCH_SIZE} to {MAX_PREFETCH_SIZE} bytes to fetch ahead, got {value}"
        raise UsageError(msg)


def _not_yet() -> UsageError:
    return UsageError("not supported yet")


# Parameter to the option it sets, and how to read it.
_PARSERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "replica_url": ("replica_url", _parse_text),
    "poll_interval": ("poll_interval_s", parse_duration),
    "cache_size": ("cache_size", parse_size),
    "timeout": ("timeout_s", parse_duration),
    "max_staleness": ("max_staleness_s", parse_duration),
    "prefetch": ("prefetch", parse_prefetch),
    "cache_dir": ("cache_dir", _parse_text),
    "hydration_enabled": ("hydration_enabled", _parse_bool),
    "hydration_path": ("hydration_path", _parse_text),
    "time": ("time", _parse_text),
    "txid": ("txid", parse_txid),
}

_OPTIONAL = frozenset({"max_staleness_s", "cache_dir", "hydration_path", "txid"})  # None says: without
_CHECKS: dict[str, Callable[[Any], None]] = {
    "cache_size": _check_size,
    "poll_interval_s": partial(_check_seconds, least=MIN_POLL_INTERVAL_S),
    "timeout_s": partial(_check_seconds, least=MIN_TIMEOUT_S),
    "max_staleness_s": partial(_check_seconds, least=MIN_TIMEOUT_S),
    "prefetch": check_prefetch,
    "cache_dir": _check_off,
    "hydration_enabled": _check_off,
    "hydration_path": _check_off,
    "txid": _check_txid,
}
