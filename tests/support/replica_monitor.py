"""Watch the files of a replica from outside: which appeared, which went, and when each TXID was there to be read.

A thread lists the replica again and again. An event is dated between two listings, so times are right to about one
interval; `staleness_s` takes the end that makes a reader look worse.
"""

import re
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import obstore
from obstore.store import S3Store

from tests.support.litestream_program import FileReplica, ReplicaPlace, S3Replica

INTERVAL_S = 0.5
JOIN_TIMEOUT_S = 30.0

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.ltx")


@dataclass(frozen=True, slots=True, order=True)
class ListedFile:
    """A file of a replica, by its name."""

    level: int
    min_txid: int
    max_txid: int


Lister = Callable[[], set[ListedFile]]


def lister(replica: ReplicaPlace) -> Lister:
    """Return a function that lists all files of a replica now."""
    return _file_lister(replica) if isinstance(replica, FileReplica) else _s3_lister(replica)


def _file_lister(replica: FileReplica) -> Lister:
    def listed() -> set[ListedFile]:
        files: set[ListedFile] = set()
        for level in range(10):
            try:
                names = [path.name for path in (replica.path / "ltx" / str(level)).iterdir()]
            except FileNotFoundError:
                continue
            files.update(_parsed(level, names))
        return files

    return listed


def _s3_lister(replica: S3Replica) -> Lister:
    store = S3Store(
        replica.bucket,
        endpoint=replica.endpoint,
        region=replica.region,
        access_key_id=replica.access_key_id,
        secret_access_key=replica.secret_access_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    def listed() -> set[ListedFile]:
        files: set[ListedFile] = set()
        for batch in obstore.list(store, prefix=replica.path):
            for entry in batch:
                level, name = entry["path"].rsplit("/", 2)[-2:]
                files.update(_parsed(int(level, 16), [name]))
        return files

    return listed


def _parsed(level: int, names: list[str]) -> list[ListedFile]:
    found = (_NAME.fullmatch(name) for name in names)
    return [ListedFile(level, int(match[1], 16), int(match[2], 16)) for match in found if match]


@dataclass(slots=True)
class ReplicaMonitor:
    """Lists a replica every `interval_s` while it is started; the counts are about the time since `mark()`."""

    replica: ReplicaPlace
    interval_s: float = INTERVAL_S
    compactions: int = 0  # files that appeared at level 1 or above
    deletions: int = 0  # files of any level that disappeared
    error: BaseException | None = None
    files: set[ListedFile] = field(default_factory=set)
    _times: list[float] = field(default_factory=list)  # when a listing had not yet shown the TXID beside it ...
    _txids: list[int] = field(default_factory=list)  # ... rising
    _listed_at: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start listing, after a first listing in the caller's thread."""
        self.look()
        self._thread = threading.Thread(target=self._run, name="replica monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listing; an error the thread met is raised here."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(JOIN_TIMEOUT_S)
            assert not self._thread.is_alive(), f"a listing took longer than {JOIN_TIMEOUT_S} s"
        if self.error is not None:
            raise self.error

    def look(self) -> None:
        """List once, now."""
        self._list_with(lister(self.replica))

    def mark(self) -> None:
        """Count compactions and deletions from now on."""
        self.compactions = self.deletions = 0

    @property
    def max_txid(self) -> int:
        """The highest TXID any listing has shown; 0 before the first."""
        return self._txids[-1] if self._txids else 0

    def staleness_s(self, instant: float, visible_txid: int) -> float:
        """Return for how long, at a `time.monotonic()` instant, there had been a file newer than a visible TXID.

        Counted from the last listing that did not show the file: at most one interval too much, never too little.
        """
        newer = bisect_right(self._txids, visible_txid)
        return max(0.0, instant - self._times[newer]) if newer < len(self._times) else 0.0

    def _run(self) -> None:
        try:
            listed = lister(self.replica)
            while not self._stopped.wait(self.interval_s):
                self._list_with(listed)
        except BaseException as error:  # noqa: BLE001  # handed to stop()
            self.error = error

    def _list_with(self, listed: Lister) -> None:
        asked_at = time.monotonic()
        files = listed()
        before, self.files = self.files, files
        self.compactions += sum(file.level >= 1 for file in files - before)
        self.deletions += len(before - files)
        newest = max((file.max_txid for file in files), default=0)
        if newest > self.max_txid:
            # The first listing says nothing about how long its files had been there: they count from now.
            self._times.append(self._listed_at or asked_at)
            self._txids.append(newest)
        self._listed_at = asked_at

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
