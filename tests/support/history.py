"""A scripted history that the real program replicates step by step, and what the program restores of it.

First every step is followed by one `litestream replicate -once`: about 30 ms and one TXID each, which a running program
with its own ticks does not promise. Then the program runs on the same replica with compaction and
retention so fast that level-0 files are merged and deleted within a second.
"""

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import apsw

from tests.support.history_script import SETUP, STEPS, random_steps, register_noise
from tests.support.litestream_program import (
    FileReplica,
    LitestreamProgram,
    ProgramError,
    ReplicaPlace,
    Settings,
    ltx,
    restore,
)
from tests.support.replica_monitor import lister
from tests.support.waiting import wait_until

RANDOM_STEPS = 8
COMPACTING = Settings(
    levels=("100ms", "1s"),
    l0_retention="300ms",
    l0_retention_check_interval="200ms",
    monitor_interval="20ms",
    sync_interval="20ms",
)
COMPACTED_STEPS = 90
STEP_TIMEOUT_S = 10.0
DELETED_TIMEOUT_S = 10.0
RESTORES_AT_ONCE = 2

# Bytes of page 1 that may differ between a view and a restored file: DESIGN R1.
_PAGE_1_MASK = (slice(18, 20), slice(24, 32), slice(40, 44), slice(92, 96))


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its SQL, the TXID that holds it, and an instant after it and before the next."""

    sql: str
    txid: int
    after: datetime


@dataclass(slots=True)
class History:
    """The source database, its replica and the steps so far; a context manager that closes the source."""

    directory: Path
    page_size: int = 512
    steps: list[Step] = field(default_factory=list)
    replica: FileReplica = field(init=False)
    _source: apsw.Connection = field(init=False)
    _program: LitestreamProgram = field(init=False)

    def __post_init__(self) -> None:
        database = self.directory / "source.db"
        self.replica = FileReplica(self.directory / "replica")
        self._program = LitestreamProgram(self.directory, database, self.replica, COMPACTING)
        self._source = apsw.Connection(str(database))
        register_noise(self._source)
        self._source.execute(f"PRAGMA page_size = {self.page_size}; {SETUP}")
        # Open to the end and never checkpointing, so that the program finds its place in the WAL again.
        self._source.execute("PRAGMA wal_autocheckpoint = 0")

    def write(self) -> None:
        """Take every step of the script, and sync after each."""
        for sql in [*STEPS, *random_steps(RANDOM_STEPS)]:
            self._take(sql)
            self._program.once()
            before = self.steps[-1].txid if self.steps else 0
            # The second is what the program writes after a checkpoint of its own.
            assert self._newest() - before in (1, 2), f"{sql!r} led from TXID {before} to {self._newest()}"
            self._note(sql)

    def compact(self) -> None:
        """Take more steps while the program runs, until it has merged and deleted the level-0 files from before."""
        listed = lister(self.replica)
        last = self.steps[-1].txid
        with self._program:
            for sql in random_steps(COMPACTED_STEPS, seed=last):
                before = self._newest()
                self._take(sql)
                self._wait_beyond(before)
                self._note(sql)
            wait_until(
                lambda: all(file.level > 0 or file.min_txid > last for file in listed()),
                "the deletion of the old level-0 files",
                timeout_s=DELETED_TIMEOUT_S,
            )

    def _take(self, sql: str) -> None:
        """Run one step as one transaction, unless it must not be in one."""
        if "VACUUM" in sql.upper():
            self._source.execute(sql).fetchall()  # incremental_vacuum frees one page per row
            return
        with self._source:
            self._source.execute(sql)

    def _note(self, sql: str) -> None:
        self.steps.append(Step(sql, self._newest(), datetime.now(UTC)))

    def _wait_beyond(self, txid: int) -> None:
        wait_until(lambda: self._newest() > txid, f"a TXID after {txid}", timeout_s=STEP_TIMEOUT_S)

    def _newest(self) -> int:
        return max((file.max_txid for file in lister(self.replica)()), default=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._source.close()


@dataclass(frozen=True, slots=True)
class Content:
    """All there is in a database: as text, and byte for byte but for what a view may change on page 1."""

    dump: str
    image: bytes


def content(connection: apsw.Connection) -> Content:
    """Return what a connection sees, in one transaction."""
    connection.execute("BEGIN")
    try:
        return Content(dump(connection), image(connection))
    finally:
        connection.execute("COMMIT")


def dump(connection: apsw.Connection) -> str:
    """Return the schema, every row of every table and view, the header values and the integrity as text."""
    pragmas = ("page_size", "page_count", "freelist_count", "auto_vacuum", "encoding", "user_version", "application_id")
    lines = [f"{name} = {connection.pragma(name)}" for name in pragmas]
    lines += [repr(row) for row in connection.execute("SELECT * FROM sqlite_schema ORDER BY rowid")]
    tables = connection.execute(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name"
    ).fetchall()
    for name, kind, without_rowid in tables:
        columns = "*" if without_rowid or kind == "view" else "rowid, *"
        lines.append(f"-- {name}")
        lines += [repr(row) for row in connection.execute(f'SELECT {columns} FROM "{name}"')]
    lines += [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    return "\n".join(lines)


def image(connection: apsw.Connection) -> bytes:
    """Return every byte of the database, with zeros where a view may differ from a file."""
    data = bytearray(connection.serialize("main"))
    for part in _PAGE_1_MASK:
        data[part] = bytes(part.stop - part.start)
    return bytes(data)


def restored(
    replica: ReplicaPlace | str, *, txid: int | None = None, timestamp: datetime | None = None
) -> Content | None:
    """Return what the real program restores, or None when it refuses."""
    with tempfile.TemporaryDirectory(prefix="restored-") as directory:
        output = Path(directory) / "restored.db"
        try:
            restore(replica, output, txid=txid, timestamp=timestamp)
        except ProgramError:
            return None
        connection = apsw.Connection(str(output))
        try:
            return content(connection)
        finally:
            connection.close()


def restored_txids(replica: ReplicaPlace | str, txids: Iterable[int]) -> dict[int, Content]:
    """Return what the real program restores for each of these TXIDs, without those it refuses."""
    asked = sorted(set(txids))
    with ThreadPoolExecutor(RESTORES_AT_ONCE) as pool:
        contents = pool.map(lambda txid: restored(replica, txid=txid), asked)
        return {txid: found for txid, found in zip(asked, contents, strict=True) if found is not None}


def candidate_txids(replica: ReplicaPlace | str) -> set[int]:
    """Return the TXIDs at which some file of the replica ends: no other can be restored."""
    return {entry["max_txid"] for entry in ltx(replica)}


def accepted_txids(replica: ReplicaPlace | str) -> set[int]:
    """Return the TXIDs that `litestream restore -txid` accepts, by asking for every one there ever was."""
    return set(restored_txids(replica, range(1, max(candidate_txids(replica)) + 2)))
