"""Wait for a condition, with a bound and a reason."""

import time
from collections.abc import Callable

PAUSE_S = 0.02


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float, pause_s: float = PAUSE_S) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: it did not within `timeout_s`; the message says `what` was waited for.

    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(pause_s)
