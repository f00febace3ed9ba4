"""Doing several things at once, and hearing of the first that failed when all are done."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

MAX_THREADS = 16


def in_parallel(functions: Sequence[Callable[[], object]]) -> None:
    """Call all functions, whatever one of them raises, some at once.

    Raises:
        Exception: what the first of them, in their order, raised.

    """
    if len(functions) == 1:
        functions[0]()
        return
    if not functions:
        return
    with ThreadPoolExecutor(min(len(functions), MAX_THREADS), "litestream-parallel") as pool:
        futures = [pool.submit(function) for function in functions]
    for future in futures:
        future.result()
