"""What a forked child must do first, and what it must not do."""

import os
from collections.abc import Callable

from replication.errors import UsageError


def after_fork_in_child(call: Callable[[], None]) -> None:
    """Run this in every child forked from now on; where processes are not forked, never."""
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(after_in_child=call)


def is_other_process(pid: int) -> bool:
    """Say whether this process was forked from the one with that id, in which something was opened.

    Ask before a lock is taken: a thread that is not there in a child may have held it at the fork.
    """
    return pid != os.getpid()


def check_process(pid: int, what: object) -> None:
    """Refuse to go on with what the parent of a forked child has opened, and still uses.

    Raises:
        UsageError: this process is not the one with that id.

    """
    if is_other_process(pid):
        msg = f"{what} was opened by process {pid}, which replicates it; expected a call there, got one in a fork of it"
        raise UsageError(msg)
