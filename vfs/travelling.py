"""Where values of `litestream_time` lead."""

from vfs.registry import SharedUse
from vfs.timetravel import parse_instant
from vfs.view import View
from vfs.waiter import Waiter


def find_view(use: SharedUse, text: str, waiter: Waiter) -> View | None:
    """Return the view just before the instant that a value means; None means the newest, now and later.

    Raises:
        UsageError: the value means no instant.
        TxNotAvailableError: the instant is before history; the message gives the earliest.
        LitestreamError: as planning and loading do.

    """
    now = use.replica.clock.now()
    instant = parse_instant(text, now)
    if instant is None or instant > now:
        return None
    return use.traveller.at_time(instant, waiter)
