"""Goal: the poller polls at intervals when woken and when pushed, says which, and ends wherever it is stopped.

Method: a poll function that notes how it was called; intervals that never pass, or pass at once.
"""

import time
from queue import Empty, SimpleQueue
from threading import Event, Thread

import pytest

from replication.errors import UnavailableError
from vfs.poller import LEAST_GAP_S, Poller
from vfs.schedule import Cause

NEVER_S = 600.0
BURST_S = 0.5
SLOW_S = 0.3
NAME = "litestream-poll-test"


def _nothing() -> None:
    pass


def test_it_polls_at_intervals_and_does_not_count_as_woken() -> None:
    polls: SimpleQueue[Cause] = SimpleQueue()
    poller = Poller(NAME, 0.01, polls.put, ended=_nothing)
    poller.start()
    assert [polls.get(timeout=5) for _ in range(3)] == [Cause.DUE] * 3
    poller.stop()
    poller.join(5)
    assert not poller.is_alive


def test_waking_it_polls_at_once_and_a_new_interval_counts_from_then() -> None:
    polls: SimpleQueue[Cause] = SimpleQueue()
    poller = Poller(NAME, NEVER_S, polls.put, ended=_nothing)
    poller.start()
    poller.interval_s = 0.01
    poller.wake()
    assert polls.get(timeout=5) is Cause.ASKED
    assert polls.get(timeout=5) is Cause.DUE
    poller.stop()
    poller.join(5)


def test_being_woken_many_times_is_one_poll() -> None:
    polls: SimpleQueue[Cause] = SimpleQueue()
    poller = Poller(NAME, NEVER_S, polls.put, ended=_nothing)
    for _ in range(10):
        poller.wake()
    poller.start()
    assert polls.get(timeout=5) is Cause.ASKED
    poller.stop()
    poller.join(5)
    assert polls.empty()


def test_it_ends_when_it_is_stopped_in_the_middle_of_a_poll() -> None:
    ended = Event()

    def stop(_cause: Cause) -> None:
        poller.stop()
        poller.join(5)  # on the thread itself, which does not wait for itself
        assert poller.is_current
        assert not ended.is_set()

    poller = Poller(NAME, 0.0, stop, ended=ended.set)
    poller.start()
    assert ended.wait(5)
    poller.join(5)
    assert not poller.is_alive


def test_it_can_be_started_again_when_it_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    poller = Poller(NAME, NEVER_S, lambda _cause: None, ended=ended.set)

    def cannot_start(_thread: Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", cannot_start)
        with pytest.raises(UnavailableError):
            poller.start()
    assert not poller.is_alive
    poller.start()
    poller.start()
    poller.stop()
    assert ended.wait(5)


def test_its_thread_begins_with_what_comes_before_all_polls() -> None:
    seen: SimpleQueue[object] = SimpleQueue()
    poller = Poller(NAME, 0.0, seen.put, began=lambda: seen.put("began"), ended=_nothing)
    poller.start()
    assert [seen.get(timeout=5) for _ in range(2)] == ["began", Cause.DUE]
    poller.stop()
    poller.join(5)


def test_pushing_it_polls_soon_and_puts_off_no_poll_that_is_due() -> None:
    polls: SimpleQueue[Cause] = SimpleQueue()
    poller = Poller(NAME, 0.2, polls.put, ended=_nothing)
    poller.start()
    seen = []
    while Cause.DUE not in seen:
        poller.push()
        seen.append(polls.get(timeout=5))
    assert seen.count(Cause.PUSHED) > 2, "a poll that is due looks elsewhere, and must come too"
    poller.stop()
    poller.join(5)


def test_pushes_as_fast_as_can_be_make_a_bounded_number_of_polls() -> None:
    polls: list[Cause] = []
    poller = Poller(NAME, NEVER_S, polls.append, ended=_nothing)
    poller.start()
    begin = time.monotonic()
    while time.monotonic() - begin < BURST_S:
        poller.push()
    poller.stop()
    poller.join(5)
    assert 2 < len(polls) <= (time.monotonic() - begin) / LEAST_GAP_S + 1


def test_after_a_slow_poll_a_pushed_one_waits_as_long_and_a_woken_one_does_not() -> None:
    begins: SimpleQueue[tuple[Cause, float]] = SimpleQueue()

    def poll(cause: Cause) -> None:
        begins.put((cause, time.monotonic()))
        time.sleep(SLOW_S)

    poller = Poller(NAME, NEVER_S, poll, ended=_nothing)
    poller.start()
    poller.push()
    first = begins.get(timeout=5)
    poller.push()
    second = begins.get(timeout=5)
    assert (first[0], second[0]) == (Cause.PUSHED, Cause.PUSHED)
    assert second[1] - first[1] >= 2 * SLOW_S
    poller.push()
    poller.wake()
    third = begins.get(timeout=5)
    assert third[0] is Cause.ASKED
    assert third[1] - second[1] < 2 * SLOW_S
    poller.stop()
    poller.join(5)
    assert begins.empty(), "what was asked for answered the push too"


def test_a_shorter_interval_counts_at_once() -> None:
    polls: SimpleQueue[Cause] = SimpleQueue()
    poller = Poller(NAME, NEVER_S, polls.put, ended=_nothing)
    poller.start()
    poller.interval_s = 0.01
    assert polls.get(timeout=5) is Cause.DUE
    poller.stop()
    poller.join(5)


def test_a_longer_gap_keeps_pushes_waiting_until_somebody_asks() -> None:
    polls: SimpleQueue[Cause] = SimpleQueue()
    poller = Poller(NAME, NEVER_S, polls.put, ended=_nothing)
    poller.gap_s = NEVER_S
    poller.start()
    poller.push()
    with pytest.raises(Empty):
        polls.get(timeout=0.2)
    waiting = poller.is_pushed
    poller.wake()
    assert polls.get(timeout=5) is Cause.ASKED
    poller.stop()
    poller.join(5)
    assert waiting
    assert polls.empty()
