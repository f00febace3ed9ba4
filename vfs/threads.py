"""Threads, where the system may have none left."""

from threading import Thread

from replication.errors import UnavailableError


def start_thread(thread: Thread) -> None:
    """Start a thread.

    Raises:
        UnavailableError: the system has none left, or the program is about to end.

    """
    try:
        thread.start()
    except RuntimeError as error:
        msg = f"cannot ask the storage: {error}"
        raise UnavailableError(msg) from error
