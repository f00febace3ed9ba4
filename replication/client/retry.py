"""The one place that calls again: a client around a client, and the policy it follows.

Only what time may heal is repeated (UnavailableError, ThrottledError), a bounded number of times, after pauses that
double and are spread by chance. No attempt begins that would end after the timeout, judging by the longest one so far;
so a dead server gives its error within the timeout, not a multiple of it.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from replication.client.base import ReplicaClient
from replication.client.retry_reader import retrying_reader
from replication.client.wrapper import WrapperClient
from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import ThrottledError, UnavailableError
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID

MAX_ATTEMPTS = 5
BASE_DELAY_S = 0.1
MAX_DELAY_S = 5.0
THROTTLED_FACTOR = 5  # a throttled call waits that many times longer
DEFAULT_TIMEOUT_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to call, how long to pause, and with what clock and chance."""

    max_attempts: int = MAX_ATTEMPTS
    timeout_s: float = DEFAULT_TIMEOUT_S
    clock: Clock = SYSTEM_CLOCK
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random  # 0 to 1

    def call(self, function: Callable[[], T]) -> T:
        """Return what the function gives, calling it again while that may help.

        Raises:
            UnavailableError: the last attempt's, when attempts or time are used up; any other error at once.

        """
        begin = attempt_begin = self.clock.monotonic()
        longest_s = 0.0
        for attempt in range(1, self.max_attempts):
            try:
                return function()
            except UnavailableError as error:
                now = self.clock.monotonic()
                longest_s = max(longest_s, now - attempt_begin)
                delay_s = self._delay_s(attempt, throttled=isinstance(error, ThrottledError))
                if now - begin + delay_s + longest_s > self.timeout_s:
                    raise
            self.sleep(delay_s)
            attempt_begin = self.clock.monotonic()
        return function()

    def _delay_s(self, attempt: int, *, throttled: bool) -> float:
        """Return the pause after an attempt, counted from 1: from half of the doubled base to all of it."""
        factor = THROTTLED_FACTOR if throttled else 1
        return min(BASE_DELAY_S * factor * 2.0 ** (attempt - 1), MAX_DELAY_S) * (0.5 + self.chance() / 2)


class RetryingClient(WrapperClient):
    """A client that calls another one again when it was unavailable.

    A listing that broke goes on after the last file it gave. A write is repeated only if its reader can go back.
    """

    def __init__(self, inner: ReplicaClient, policy: RetryPolicy | None = None) -> None:
        """Wrap a client."""
        super().__init__(inner)
        self._policy = policy or RetryPolicy()

    def init(self) -> None:
        """Connect and check the configuration."""
        self._policy.call(self.inner.init)

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on."""
        last: tuple[TXID, TXID] | None = None
        iterator: Iterator[FileInfo] | None = None

        def next_info() -> FileInfo | None:
            nonlocal iterator
            try:
                if iterator is None:
                    iterator = self.inner.ltx_files(level, seek if last is None else last[0], use_metadata=use_metadata)
                for info in iterator:
                    if last is None or (info.min_txid, info.max_txid) > last:
                        return info
            except UnavailableError:
                iterator = None  # an iterator that raised is finished
                raise
            return None

        while (info := self._policy.call(next_info)) is not None:
            last = info.min_txid, info.max_txid
            yield info

    def ltx_levels(self) -> Mapping[int, Sequence[FileInfo]] | None:
        """Return the files of all levels, where one request can tell."""
        return self._policy.call(self.inner.ltx_levels)

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end."""
        return self._policy.call(lambda: self.inner.read_ltx(info, start, end))

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader of a file; its reads are repeated too."""
        reader = self._policy.call(lambda: self.inner.open_ltx_file(level, min_txid, max_txid, offset, size))
        return retrying_reader(reader, self._policy.call)

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file. One that is there already may be of a call before, whose answer was lost."""
        if not reader.seekable():
            return self.inner.write_ltx_file(level, min_txid, max_txid, reader, if_absent=if_absent)
        start = reader.tell()

        def write() -> FileInfo:
            reader.seek(start)
            return self.inner.write_ltx_file(level, min_txid, max_txid, reader, if_absent=if_absent)

        return self._policy.call(write)

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files; those already gone are no error."""
        infos = list(infos)
        self._policy.call(lambda: self.inner.delete_ltx_files(infos))

    def delete_all(self) -> None:
        """Delete every file of the replica."""
        self._policy.call(self.inner.delete_all)
