"""Doing several things at once, and hearing of the first that failed when all are done."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

MAX_THREADS = 16


def in_parallel(functions: Sequence[Callable[[], object]]) -> None:
    """Call all functions, whatever one of them raises, some at once; this thread does its share.

    Where no thread can be started, as while the interpreter ends, this one does it all.

    Raises:
        BaseException: what the first of them, in their order, raised.

    """
    waiting = iter(list(enumerate(functions)))  # of a list: each number goes to one thread
    errors: dict[int, BaseException] = {}

    def work() -> None:
        for number, function in waiting:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - raised below
                errors[number] = error

    threads: list[threading.Thread] = []
    with suppress(RuntimeError):  # at the end of the interpreter, or of what the system allows
        for number in range(1, min(len(functions), MAX_THREADS)):
            thread = threading.Thread(target=work, name=f"litestream-parallel-{number}")
            thread.start()
            threads.append(thread)
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
