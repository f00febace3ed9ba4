"""A shared call gives each caller a result that is not older than its call."""

import threading

import pytest

from replication.client.shared_call import SharedCall
from replication.errors import UnavailableError
from tests.support.waiting import wait_until


class Slow:
    """A function that gives the number of its call, when it is let go on."""

    def __init__(self) -> None:
        self.begun = 0
        self.error: BaseException | None = None
        self._turns = threading.Semaphore(0)

    def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        assert self._turns.acquire(timeout=20)
        if self.error is not None:
            raise self.error
        return number

    def let_go_on(self) -> None:
        self._turns.release()


class Caller(threading.Thread):
    def __init__(self, shared: SharedCall[int]) -> None:
        super().__init__()
        self._shared = shared
        self.result: int | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._shared()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error


def start(count: int) -> tuple[Slow, Caller, list[Caller]]:
    """Return a function in the midst of its first call, and callers that came meanwhile."""
    function = Slow()
    shared = SharedCall(function)
    first = Caller(shared)
    wait_until(lambda: function.begun == 1, "the first call", timeout_s=20)
    later = [Caller(shared) for _ in range(count)]
    # Each has come when the others wait for the one that will call.
    wait_until(lambda: all(thread.is_alive() for thread in later), "the callers", timeout_s=20)
    return function, first, later


def test_who_comes_during_a_call_gets_the_result_of_the_next_one() -> None:
    function, first, later = start(5)
    function.let_go_on()
    first.join()
    assert first.result == 1
    wait_until(lambda: function.begun == 2, "the second call", timeout_s=20)
    for _ in later:
        function.let_go_on()
    for caller in later:
        caller.join()
    results = [caller.result for caller in later]
    assert 1 not in results
    assert function.begun < 1 + len(later)


def test_calls_one_after_the_other_are_each_made() -> None:
    function = Slow()
    shared = SharedCall(function)
    for number in (1, 2, 3):
        function.let_go_on()
        assert shared() == number


def test_an_error_reaches_all_who_share_it_and_an_interrupt_only_the_one_it_was_meant_for() -> None:
    for error, expected in [(ValueError("no"), ValueError), (KeyboardInterrupt(), UnavailableError)]:
        function, first, later = start(4)
        function.error = error
        for _ in range(6):
            function.let_go_on()
        for caller in (first, *later):
            caller.join()
        assert type(first.error) is type(error)
        assert {type(caller.error) for caller in later} <= {type(error), expected}
        function.error = None


def test_it_works_again_after_an_error() -> None:
    function = Slow()
    shared = SharedCall(function)
    function.error = ValueError("no")
    function.let_go_on()
    with pytest.raises(ValueError, match="no"):
        shared()
    function.error = None
    function.let_go_on()
    assert shared() == 2
