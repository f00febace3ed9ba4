"""`PRAGMA litestream_…`: one table from names to answers.

A pragma that sets something gives back what it is set to, as SQLite's own do.
"""

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from replication.clock import format_instant
from replication.errors import LitestreamError, UnavailableError, UsageError
from replication.position import format_txid, parse_txid
from vfs.codes import pragma_error, with_code
from vfs.duration import format_duration, parse_duration
from vfs.stats_report import stats_report
from vfs.uri import DEFAULT_PREFETCH_SIZE, MAX_DURATION_S, MIN_POLL_INTERVAL_S, parse_prefetch, prefetch_size

if TYPE_CHECKING:
    from vfs.file import ReplicaFile

DEFAULT_WAIT_S = 10.0
"""How long `litestream_wait` waits where the connection has no busy timeout."""

_PREFIX = "litestream_"


@dataclass(frozen=True, slots=True)
class _Pragma:
    get: "Callable[[ReplicaFile], str] | None" = None
    set: "Callable[[ReplicaFile, str], str] | None" = None


def answer_pragma(file: "ReplicaFile", pragma: apsw.VFSFcntlPragma) -> bool:
    """Answer a pragma; False leaves it to SQLite.

    Raises:
        apsw.Error: the pragma is ours and cannot be answered; our error is the cause.

    """
    name = pragma.name.lower()
    try:
        if name == "locking_mode" and (pragma.value or "").lower() == "exclusive":
            msg = "locking_mode EXCLUSIVE is refused: the connection would never see another transaction"
            raise UsageError(msg)
        if not name.startswith(_PREFIX):
            return False
        pragma.result = answer(file, name, pragma.value)
    except LitestreamError as error:
        raise pragma_error(error) from error
    return True


def answer(file: "ReplicaFile", name: str, value: str | None) -> str:
    """Return what a pragma of ours says, after setting its value if one is given.

    Raises:
        UsageError: there is no such pragma, or it does not take (or needs) a value, or not this one.
        LitestreamError: it cannot be answered.

    """
    pragma = _PRAGMAS.get(name)
    if pragma is None:
        if name in _LATER:
            msg = f"{name} is not supported yet"
            raise UsageError(msg)
        known = {one.removeprefix(_PREFIX): one for one in _PRAGMAS}  # the prefix alone is no likeness
        near = difflib.get_close_matches(name.removeprefix(_PREFIX), known, n=1)
        hint = f"did you mean {known[near[0]]}?" if near else f"expected one of {', '.join(sorted(_PRAGMAS))}"
        msg = f"unknown pragma {name}: {hint}"
        raise UsageError(msg)
    if value is None:
        if pragma.get is None:
            msg = f"{name} needs a value"
            raise UsageError(msg)
        return pragma.get(file)
    if pragma.set is None:
        msg = f"{name} takes no value, got {value!r}"
        raise UsageError(msg)
    return pragma.set(file, value)


def _get_txid(file: "ReplicaFile") -> str:
    return format_txid(file.view.txid)


def _set_txid(file: "ReplicaFile", value: str) -> str:
    _check_no_transaction(file)
    file.travel(file.use.traveller.at_txid(parse_txid(value), file.waiter()))
    return _get_txid(file)


def _get_time(file: "ReplicaFile") -> str:
    return format_instant(file.view.time)


def _set_time(file: "ReplicaFile", value: str) -> str:
    _check_no_transaction(file)
    file.travel(file.use.traveller.at_text(value, file.waiter()))
    return _get_time(file)


def _get_lag(file: "ReplicaFile") -> str:
    return str(int(file.replica.lag_s))


def _get_data_age(file: "ReplicaFile") -> str:
    return f"{(file.replica.clock.now() - file.view.time).total_seconds():.3f}"


def _get_error(file: "ReplicaFile") -> str:
    return str(file.replica.error or "")


def _poll(file: "ReplicaFile") -> str:
    file.replica.poll(file.waiter())
    return _get_txid(file)


def _wait(file: "ReplicaFile", value: str) -> str:
    wanted = parse_txid(value)
    if file.view.txid >= wanted:
        return _get_txid(file)
    if file.pinned is not None or file.target is not None:
        held = "this transaction" if file.pinned is not None else "this connection (litestream_time is set)"
        msg = f"TXID {format_txid(wanted)} cannot become visible: {held} stands still at {_get_txid(file)}"
        raise UsageError(msg)
    timeout_s = _busy_timeout_s(file) or DEFAULT_WAIT_S
    if not file.replica.wait_for(wanted, file.waiter(timeout_s)):
        reason = f": {file.replica.error}" if file.replica.error else ""
        msg = f"TXID {format_txid(wanted)} was not visible within {timeout_s:g} s, the newest is {_get_txid(file)}"
        error = UnavailableError(msg + reason)
        raise with_code(error, apsw.SQLITE_BUSY) from error
    return _get_txid(file)


def _get_poll_interval(file: "ReplicaFile") -> str:
    return format_duration(file.replica.poll_interval_s)


def _set_poll_interval(file: "ReplicaFile", value: str) -> str:
    seconds = parse_duration(value)
    if not MIN_POLL_INTERVAL_S <= seconds <= MAX_DURATION_S:
        msg = f"expected a poll interval from {MIN_POLL_INTERVAL_S:g} s to {MAX_DURATION_S:g} s, got {value!r}"
        raise UsageError(msg)
    file.replica.set_poll_interval(seconds)
    return _get_poll_interval(file)


def _get_prefetch(file: "ReplicaFile") -> str:
    return {0: "off", DEFAULT_PREFETCH_SIZE: "on"}.get(file.prefetch_size) or str(file.prefetch_size)


def _set_prefetch(file: "ReplicaFile", value: str) -> str:
    file.set_prefetch_size(prefetch_size(parse_prefetch(value)))
    return _get_prefetch(file)


def _get_stats(file: "ReplicaFile") -> str:
    return json.dumps(stats_report(file.replica))


def _check_no_transaction(file: "ReplicaFile") -> None:
    connection = file.connection
    if file.pinned is not None or (connection is not None and not connection.get_autocommit()):
        msg = "cannot travel in time inside a transaction: end it, and every statement still being read, first"
        raise UsageError(msg)


def _busy_timeout_s(file: "ReplicaFile") -> float:
    connection = file.connection
    return 0.0 if connection is None else float(connection.pragma("busy_timeout")) / 1000


_PRAGMAS: dict[str, _Pragma] = {
    "litestream_txid": _Pragma(_get_txid, _set_txid),
    "litestream_time": _Pragma(_get_time, _set_time),
    "litestream_lag": _Pragma(_get_lag),
    "litestream_data_age": _Pragma(_get_data_age),
    "litestream_error": _Pragma(_get_error),
    "litestream_poll": _Pragma(_poll),
    "litestream_wait": _Pragma(None, _wait),
    "litestream_poll_interval": _Pragma(_get_poll_interval, _set_poll_interval),
    "litestream_prefetch": _Pragma(_get_prefetch, _set_prefetch),
    "litestream_stats": _Pragma(_get_stats),
}
_LATER = frozenset({"litestream_hydration_progress", "litestream_hydration_file"})
