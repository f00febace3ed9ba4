"""Coroutines are run on one thread, for a bounded time, and a forked child has a loop of its own."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from replication.client.loop import call
from replication.errors import UnavailableError
from tests.support.waiting import wait_until


async def thread_name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_what_a_coroutine_returns_and_raises_reaches_the_caller() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        msg = "its own"
        raise TimeoutError(msg)

    assert call(thread_name(), 5.0) == "litestream-loop"
    with pytest.raises(TimeoutError, match="its own"):
        call(fail(), 5.0)


def test_a_call_that_takes_too_long_ends_in_time_and_is_cancelled() -> None:
    ended = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            ended.set()

    begin = time.monotonic()
    with pytest.raises(UnavailableError, match=r"no answer within 0\.1 s"):
        call(wait(), 0.1)
    assert time.monotonic() - begin < 5.0
    assert ended.wait(5.0)


def test_calls_of_many_threads_run_at_once() -> None:
    async def meet(barrier: asyncio.Barrier) -> None:
        await barrier.wait()

    async def make() -> asyncio.Barrier:
        await asyncio.sleep(0)
        return asyncio.Barrier(8)

    barrier = call(make(), 5.0)
    threads = [threading.Thread(target=call, args=(meet(barrier), 5.0)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert barrier.n_waiting == 0


def test_a_call_from_the_loop_itself_is_refused_and_does_not_hang() -> None:
    async def call_again() -> None:
        await asyncio.sleep(0)
        call(thread_name(), 5.0)

    with pytest.raises(RuntimeError, match="by await"):
        call(call_again(), 5.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_loop_of_its_own() -> None:
    program = """
import os, asyncio
from replication.client.loop import call
async def pid():
    await asyncio.sleep(0.01)
    return os.getpid()
assert call(pid(), 5.0) == os.getpid()
child = os.fork()
assert call(pid(), 5.0) == os.getpid()
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert call(pid(), 5.0) == os.getpid()
"""
    run(program)


def test_the_end_of_the_process_says_nothing_of_what_still_runs() -> None:
    run("""
import asyncio
from replication.client.loop import call
tasks = []
async def begin():
    tasks.append(asyncio.create_task(asyncio.sleep(60)))
    await asyncio.sleep(0)
call(begin(), 5.0)
""")


def test_what_fails_in_the_background_is_told_to_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    async def begin() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(0)

    with caplog.at_level("DEBUG", "litestream.replication"):
        call(begin(), 5.0)
        wait_until(lambda: "ZeroDivisionError" in caplog.text, "the log", timeout_s=5.0)
    assert [record.name for record in caplog.records if record.name == "asyncio" and record.levelno > 10] == []


def test_what_asyncio_logs_goes_to_our_log_and_that_of_other_loops_stays(caplog: pytest.LogCaptureFixture) -> None:
    async def warn() -> None:
        await asyncio.sleep(0)
        logging.getLogger("asyncio").warning("a warning of %s", threading.current_thread().name)

    with caplog.at_level("DEBUG"):
        call(warn(), 5.0)
        asyncio.run(warn())
    found = [(record.name, record.getMessage()) for record in caplog.records if "a warning" in record.getMessage()]
    assert found == [
        ("litestream.replication", "asyncio: a warning of litestream-loop"),
        ("asyncio", f"a warning of {threading.current_thread().name}"),
    ]


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
