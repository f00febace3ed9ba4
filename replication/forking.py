"""What a forked child must do first."""

import os
from collections.abc import Callable


def after_fork_in_child(call: Callable[[], None]) -> None:
    """Run this in every child forked from now on; where processes are not forked, never."""
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(after_in_child=call)
