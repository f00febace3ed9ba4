"""Goal: the poller polls at intervals and when woken, tells the two apart, and ends wherever it is stopped.

Method: a poll function that notes how it was called; intervals that never pass, or pass at once.
"""

from queue import SimpleQueue
from threading import Event, Thread

import pytest

from replication.errors import UnavailableError
from vfs.poller import Poller

NEVER_S = 600.0
NAME = "litestream-poll-test"


def test_it_polls_at_intervals_and_does_not_count_as_woken() -> None:
    polls: SimpleQueue[bool] = SimpleQueue()
    poller = Poller(NAME, 0.01, polls.put, lambda: None)
    poller.start()
    assert [polls.get(timeout=5) for _ in range(3)] == [False, False, False]
    poller.stop()
    poller.join(5)
    assert not poller.is_alive


def test_waking_it_polls_at_once_and_a_new_interval_counts_from_then() -> None:
    polls: SimpleQueue[bool] = SimpleQueue()
    poller = Poller(NAME, NEVER_S, polls.put, lambda: None)
    poller.start()
    poller.interval_s = 0.01
    poller.wake()
    assert polls.get(timeout=5)
    assert not polls.get(timeout=5)
    poller.stop()
    poller.join(5)


def test_being_woken_many_times_is_one_poll() -> None:
    polls: SimpleQueue[bool] = SimpleQueue()
    poller = Poller(NAME, NEVER_S, polls.put, lambda: None)
    for _ in range(10):
        poller.wake()
    poller.start()
    assert polls.get(timeout=5)
    poller.stop()
    poller.join(5)
    assert polls.empty()


def test_it_ends_when_it_is_stopped_in_the_middle_of_a_poll() -> None:
    ended = Event()

    def stop(_woken: bool) -> None:  # noqa: FBT001 - as it is called
        poller.stop()
        poller.join(5)  # on the thread itself, which does not wait for itself
        assert poller.is_current
        assert not ended.is_set()

    poller = Poller(NAME, 0.0, stop, ended.set)
    poller.start()
    assert ended.wait(5)
    poller.join(5)
    assert not poller.is_alive


def test_it_can_be_started_again_when_it_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    poller = Poller(NAME, NEVER_S, lambda _woken: None, ended.set)

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
