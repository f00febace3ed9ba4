"""The writer of the crash runs: 60 commits a second without a pause, and what must hold at every one of them.

Commit n makes row n of `log` and raises the one row of `counter` to n. In workload 2 it also inserts, changes or
deletes rows of `entry`, and the row of the log says how many there are after it, and the sum of their numbers. What a
row holds follows from its number. So a database shows by itself whether it is the one after a commit, and after which
(`CHECK`), and a page of another commit, a lost row or a lost page shows too. What a commit does follows from the seed
and n: a writer that was killed goes on where the database is.

Workload 1 grows. In workload 2 `entry` grows for some commits and shrinks for some; auto-vacuum shrinks the file with
each deletion, or, every other time, `PRAGMA incremental_vacuum` does it bit by bit, as transactions of its own that
count as part of the commit before. `ballast` makes files of all pages stand out.

As a program: `python -m tests.support.crash_writer DB ACKNOWLEDGED --workload 2 --seed 7`. It prints `ready`, writes
the number of its last commit to the file ACKNOWLEDGED, and ends at SIGTERM, between two transactions, or when nobody is
left to send it.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from tests.support.workload import BUSY_TIMEOUT_MS, PROJECT, STOP_TIMEOUT_S

WORKLOADS = (1, 2)
INTERVAL_S = 1 / 60
BALLAST_ROWS = 200  # of about a page
LOG_TEXT = "one more row of the log " * 20  # eight rows to a page: each page is written for an eighth of a second
CYCLE = 120  # commits from one growth to the next
GROWING = 80  # of them
SHRINK_SHARE = 6  # at once goes one in so many rows
CHECKED_SIZE = 120  # characters of what SQLite says of a database that is not sound
VACUUM_PAGES = 12  # at once, at most

_AUTO_VACUUM_FULL, _AUTO_VACUUM_INCREMENTAL = 1, 2
_MARK = "({}) * 40503 % 65521"
_BODY = "replace(hex(zeroblob(20 + ({0}) * 37 % 400)), '00', printf('%012d', {0}))"  # 240 to 5,000 characters

CHECK = f"""
    SELECT
        (SELECT value FROM counter),
        (SELECT count(*) FROM log),
        (SELECT ifnull(max(id), 0) FROM log),
        (SELECT count(*) FROM log WHERE mark != {_MARK.format("id")}),
        (SELECT count(*) FROM entry) || ' ' || (SELECT ifnull(sum(born), 0) FROM entry),
        ifnull((SELECT entries || ' ' || born_sum FROM log ORDER BY id DESC LIMIT 1), '0 0'),
        (SELECT count(*) FROM entry WHERE body != {_BODY.format("born")}),
        (SELECT count(*) FROM ballast),
        (SELECT group_concat(integrity_check, '; ') FROM pragma_integrity_check)
"""


def prepare(database: Path, workload: int) -> None:
    """Make the database, in WAL mode, as it is before commit 1."""
    connection = apsw.Connection(str(database))
    connection.pragma("auto_vacuum", 0 if workload == 1 else _AUTO_VACUUM_FULL)
    connection.pragma("journal_mode", "wal")
    with connection:
        connection.execute("CREATE TABLE counter (value INTEGER NOT NULL)")
        connection.execute("INSERT INTO counter VALUES (0)")
        connection.execute(
            "CREATE TABLE log (id INTEGER PRIMARY KEY, mark INTEGER NOT NULL, entries INTEGER NOT NULL,"
            " born_sum INTEGER NOT NULL, text TEXT NOT NULL)"
        )
        connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, born INTEGER NOT NULL, body TEXT NOT NULL)")
        connection.execute("CREATE INDEX entry_by_birth ON entry (born)")
        connection.execute("CREATE TABLE ballast (body BLOB NOT NULL)")
        connection.executemany("INSERT INTO ballast VALUES (randomblob(3900))", [()] * BALLAST_ROWS)
    connection.close()


@dataclass(frozen=True, slots=True)
class State:
    """What a database shows of itself."""

    commit: int  # after which it is; 0 if it cannot be read
    missing_rows: int  # of the log
    wrong: str  # empty if all is as that commit left it


def look(data: bytes) -> State:
    """Look at a database that is in memory."""
    try:
        row = _query(data, CHECK)[0]
    except apsw.Error as error:
        return State(0, 0, f"SQLite says {error}")
    counter, rows, highest, bad_marks, entries, expected, bad_bodies, ballast, checked = row
    wrong = {
        f"counter {counter}, {rows} rows of the log, the last one {highest}": not counter == rows == highest,
        f"{bad_marks} rows of the log that nobody wrote": bad_marks > 0,
        f"entries (count, sum): expected {expected}, got {entries}": entries != expected,
        f"{bad_bodies} entries that nobody wrote": bad_bodies > 0,
        f"{ballast} rows of ballast": ballast != BALLAST_ROWS,
        " ".join(str(checked).split())[:CHECKED_SIZE]: checked != "ok",
    }
    return State(counter, max(counter, highest) - rows, "; ".join(text for text, holds in wrong.items() if holds))


def log_rows(data: bytes) -> set[int]:
    """Return the numbers of the commits whose row is in the log; none if the database cannot be read."""
    try:
        return {number for (number,) in _query(data, "SELECT id FROM log")}
    except apsw.Error:
        return set()


def _query(data: bytes, sql: str) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(":memory:")
    patched = bytearray(data)
    patched[18:20] = b"\x01\x01"  # a database in WAL mode cannot be in memory
    try:
        connection.deserialize("main", bytes(patched))
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def commit(connection: apsw.Connection, workload: int, seed: int) -> int:
    """Make the next commit, and return its number."""
    connection.execute("BEGIN IMMEDIATE")
    number = connection.execute("SELECT value + 1 FROM counter").get
    chance = random.Random(f"{seed} {number}")  # noqa: S311  # a workload, not a secret
    if workload == 2:
        _change_entries(connection, number, chance)
    connection.execute(
        f"INSERT INTO log SELECT ?1, {_MARK.format('?1')}, count(*), ifnull(sum(born), 0), ?2 FROM entry",
        (number, LOG_TEXT),
    )
    connection.execute("UPDATE counter SET value = ?", (number,))
    connection.execute("COMMIT")
    if workload == 2:
        _vacuum(connection, number, chance)
    return int(number)


def _change_entries(connection: apsw.Connection, number: int, chance: random.Random) -> None:
    if number % CYCLE < GROWING:
        for _ in range(chance.randint(0, 6)):
            connection.execute(f"INSERT INTO entry (born, body) VALUES (?1, {_BODY.format('?1')})", (number,))
    else:
        order = chance.choice(("id", "id DESC", "born * 7919 % 1009"))
        connection.execute(
            f"DELETE FROM entry WHERE id IN (SELECT id FROM entry ORDER BY {order}"
            f" LIMIT (SELECT count(*) / {SHRINK_SHARE} FROM entry))"
        )
    connection.execute(
        f"UPDATE entry SET born = ?1, body = {_BODY.format('?1')} WHERE id = "
        "(SELECT id FROM entry ORDER BY id LIMIT 1 OFFSET ?2 % (SELECT max(1, count(*)) FROM entry))",
        (number, chance.randint(0, 10_000)),
    )


def _vacuum(connection: apsw.Connection, number: int, chance: random.Random) -> None:
    incremental = number // CYCLE % 2 == 1
    if number % CYCLE == 0:
        connection.pragma("auto_vacuum", _AUTO_VACUUM_INCREMENTAL if incremental else _AUTO_VACUUM_FULL)
    if incremental and chance.random() < 0.3:
        connection.execute(f"PRAGMA incremental_vacuum({chance.randint(1, VACUUM_PAGES)})").fetchall()


def write(database: Path, acknowledged: Path, workload: int, seed: int) -> None:
    """Commit at a steady pace until SIGTERM arrives, or the process that started this one has ended."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("synchronous", "normal")
    told = os.open(acknowledged, os.O_WRONLY | os.O_CREAT, 0o600)
    print("ready", flush=True)  # noqa: T201  # from here on SIGTERM is answered
    start = time.monotonic()
    commits = 0
    parent = os.getppid()
    while not stopping.is_set() and os.getppid() == parent:
        os.pwrite(told, commit(connection, workload, seed).to_bytes(8, "big"), 0)
        commits += 1
        # Paced by the clock, so that slow commits do not slow the workload down.
        time.sleep(max(0.0, start + commits * INTERVAL_S - time.monotonic()))
    connection.close()


@dataclass(slots=True)
class CrashWriter:
    """The writer as a process, which may be killed and started again."""

    database: Path
    workload: int
    seed: int
    _process: subprocess.Popen[str] | None = None

    @property
    def acknowledged(self) -> int:
        """The number of the last commit that the writer knows of, over all its lives."""
        try:
            return int.from_bytes(self._acknowledged_path.read_bytes(), "big")
        except FileNotFoundError:
            return 0

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start writing."""
        numbers = ["--workload", str(self.workload), "--seed", str(self.seed)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.crash_writer", self.database, self._acknowledged_path, *numbers],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the writer did not start"

    def stop(self) -> None:
        """End it between two transactions."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    @property
    def _acknowledged_path(self) -> Path:
        return self.database.with_name("acknowledged")

    def _end(self, signal_number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        ended = process.poll()
        process.send_signal(signal_number)
        try:
            process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        assert ended is None, f"the writer ended by itself with {ended}"
        expected = 0 if signal_number == signal.SIGTERM else -signal.SIGKILL
        assert process.returncode == expected, f"the writer ended with {process.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Commit at a steady pace.")
    parser.add_argument("database", type=Path)
    parser.add_argument("acknowledged", type=Path)
    parser.add_argument("--workload", type=int, choices=WORKLOADS, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write(options.database, options.acknowledged, options.workload, options.seed)


if __name__ == "__main__":
    main()
