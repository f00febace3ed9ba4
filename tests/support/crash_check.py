"""Looking at all that a replica lists: every file, every TXID, and the newest state beside the source.

The files of level 0 are applied one after the other, and after each the database is looked at with SQL. What the higher
levels hold must be what level 0 made of the database: where a file ends, its pages are the newest ones, and all that
changed since before its first TXID are among them.

Where level 0 has a gap, or a broken file, the file that leads over it by the fewest TXIDs is taken: what lies in
between cannot be restored, and where nothing leads on, neither can all that follows.
"""

import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from replication.client.base import ReplicaClient
from replication.errors import CorruptError, LitestreamError
from replication.levels import LEVELS, SNAPSHOT_LEVEL
from replication.ltx.decoder import Decoder
from replication.ltx.file_info import FileInfo
from replication.ltx.header import Header
from replication.position import TXID
from tests.support.crash_report import Findings
from tests.support.crash_writer import log_rows, look
from tests.support.litestream_program import ProgramError, ReplicaPlace
from tests.support.litestream_program import restore as program_restore
from tests.support.restoring import restore_to

EXTRA_PAGES = 2
"""By how many pages a level-0 file may exceed what differs before it is oversized."""

RESTORES = 3
"""At how many TXIDs, beside the newest, the whole database is restored."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is whole."""

    header: Header
    pages: dict[int, bytes]


@dataclass(slots=True)
class _Database:
    """The database at one TXID, and when each of its pages changed last."""

    txid: int = 0
    page_size: int = 4096
    commit: int = 0
    pages: dict[int, bytes] = field(default_factory=dict)  # a page that no file has is zeros
    changed_at: dict[int, int] = field(default_factory=dict)  # a TXID, by page number

    def apply(self, file: _File) -> int:
        """Move to where a file ends, and return how many pages differ from before."""
        before, old_commit = self.pages, self.commit
        self.txid, self.page_size, self.commit = file.header.max_txid, file.header.page_size, file.header.commit
        self.pages = {pgno: data for pgno, data in (before | file.pages).items() if pgno <= self.commit}
        differing = {pgno for pgno, data in file.pages.items() if before.get(pgno) != data}
        differing.update(range(old_commit + 1, self.commit + 1))
        self.changed_at = {pgno: at for pgno, at in self.changed_at.items() if pgno <= self.commit}
        self.changed_at.update(dict.fromkeys(differing, self.txid))
        return len(differing)

    def image(self) -> bytes:
        nothing = bytes(self.page_size)
        return b"".join(self.pages.get(pgno, nothing) for pgno in range(1, self.commit + 1))


def check_replica(
    client: ReplicaClient, source: bytes, *, place: ReplicaPlace | None = None, seed: int = 0
) -> Findings:
    """Look at a replica that nobody writes to any more, beside the database as it is.

    With `place`, where the real program finds the replica, the database is also restored whole at some TXIDs.
    """
    return _Check(client, place, seed).run(source)


class _Check:
    def __init__(self, client: ReplicaClient, place: ReplicaPlace | None, seed: int) -> None:
        self._client = client
        self._place = place
        self._found = Findings()
        self._broken: set[FileInfo] = set()
        self._listed = {level: list(client.ltx_files(level)) for level in LEVELS}
        self._by_end: dict[int, list[FileInfo]] = defaultdict(list)  # of the higher levels
        for infos in list(self._listed.values())[1:]:
            for info in infos:
                self._by_end[info.max_txid].append(info)
        ends = [info.max_txid for info in self._listed[0]]
        some = random.Random(seed).sample(ends, min(RESTORES, len(ends)))  # noqa: S311
        self._to_restore = {*some, *ends[-1:]} if place else set()

    def run(self, source: bytes) -> Findings:
        found = self._found
        found.files = sum(map(len, self._listed.values()))
        found.level_0 = len(self._listed[0])
        found.txids = max((info.max_txid for infos in self._listed.values() for info in infos), default=0)
        found.gaps = sum(_gap_count(level, infos) for level, infos in self._listed.items())
        database = _Database()
        commit = 0
        for info in self._chain(database):
            found.restorable += 1
            commit = self._check_state(database, commit)
            for higher in self._by_end.pop(info.max_txid, []):
                if higher != info:
                    self._check_higher(database, higher)
        for higher in [info for infos in self._by_end.values() for info in infos]:
            self._load(higher)  # nothing to compare it with, but it must be whole
        image = database.image()
        found.end_equal = database.txid == found.txids and image == source
        found.lost_rows = len(log_rows(source) - log_rows(image))
        return found

    def _chain(self, database: _Database) -> Iterator[FileInfo]:
        """Apply file after file, and yield each when its end is reached."""
        level_0 = {info.min_txid: info for info in self._listed[0]}
        while True:
            info = level_0.get(TXID(database.txid + 1))
            file = None if info is None else self._load(info)
            if info is None or file is None:
                leap = self._leap(database.txid)
                if leap is None:
                    return
                info, file = leap
                database.apply(file)
            else:
                differing = database.apply(file)
                if len(file.pages) > differing + EXTRA_PAGES:
                    self._found.oversized += 1
                    self._found.note("oversized", f"{_name(info)} holds {len(file.pages)} pages, {differing} differ")
            yield info

    def _leap(self, position: int) -> tuple[FileInfo, _File] | None:
        """Return the file that leads on from a position, but by as little as possible; None if there is none."""
        candidates = [
            info
            for infos in self._listed.values()
            for info in infos
            if info.max_txid > position and (info.min_txid <= position + 1 or info.min_txid == 1)
        ]
        for info in sorted(candidates, key=lambda info: info.max_txid):
            file = self._load(info)
            if file is not None:
                return info, file
        return None

    def _check_state(self, database: _Database, last_commit: int) -> int:
        """Look at the database at a TXID, and return after which commit it is."""
        image = database.image()
        state = look(image)
        wrong = state.wrong or (f"commit {state.commit} after {last_commit}" if state.commit < last_commit else "")
        self._found.most_missing = max(self._found.most_missing, state.missing_rows)
        if wrong:
            self._found.note("inconsistent", f"TXID {database.txid}: {wrong}")
        else:
            self._found.consistent += 1
        if database.txid in self._to_restore:
            self._check_restores(database.txid, image)
        return max(state.commit, last_commit)

    def _check_higher(self, database: _Database, info: FileInfo) -> None:
        """Compare a file of a higher level with the database at its end."""
        file = self._load(info)
        if file is None:
            return
        since = 0 if info.level == SNAPSHOT_LEVEL else info.min_txid
        nothing = bytes(database.page_size)
        wrong = [pgno for pgno, data in file.pages.items() if database.pages.get(pgno, nothing) != data]
        missing = [pgno for pgno, at in database.changed_at.items() if at >= since and pgno not in file.pages]
        if wrong or missing or file.header.commit != database.commit:
            self._found.wrong += 1
            self._found.note(
                "wrong",
                f"{_name(info)}: pages {wrong[:5]} are wrong, {missing[:5]} missing, {file.header.commit} pages"
                f" of {database.commit}",
            )

    def _check_restores(self, txid: int, image: bytes) -> None:
        """Restore the whole database at a TXID, by ours and by the real program."""
        assert self._place is not None
        ways: dict[str, Callable[[Path], object]] = {
            "ours": lambda output: restore_to(self._client, output, txid=TXID(txid)),
            "litestream": partial(program_restore, self._place, txid=txid),
        }
        for name, restore in ways.items():
            with tempfile.TemporaryDirectory(prefix="restored-") as directory:
                output = Path(directory, "restored.db")
                try:
                    restore(output)
                    wrong = "" if output.read_bytes() == image else "gave another state"
                except (LitestreamError, ProgramError) as error:
                    wrong = f"failed: {error}"
            if wrong:
                self._found.bad_restores += 1
                self._found.note("bad restore", f"TXID {txid} by {name} {wrong}")

    def _load(self, info: FileInfo) -> _File | None:
        """Read a file; None if it is broken, or not what its name says."""
        wrong = ""
        try:
            with self._client.open_ltx_file(info.level, info.min_txid, info.max_txid) as reader:
                decoder = Decoder(reader)
                file = _File(decoder.header, {page.pgno: page.data for page in decoder})
        except CorruptError as error:
            wrong = str(error)
        else:
            header = file.header
            if (header.min_txid, header.max_txid) != (info.min_txid, info.max_txid):
                wrong = f"is of TXIDs {header.min_txid} to {header.max_txid}"
            elif info.level == 0 and info.min_txid != info.max_txid:
                wrong = "spans several TXIDs"
        if not wrong:
            return file
        if info not in self._broken:
            self._broken.add(info)
            self._found.broken += 1
            self._found.note("broken", f"{_name(info)}: {wrong}")
        return None


def _gap_count(level: int, infos: Sequence[FileInfo]) -> int:
    """Count the gaps between the files of a level; level 0 has to begin at TXID 1, and snapshots have no neighbours."""
    if level == SNAPSHOT_LEVEL:
        return 0
    position = 0 if level == 0 else infos[0].max_txid if infos else 0
    gaps = 0
    for info in infos:
        gaps += info.min_txid > position + 1
        position = max(position, info.max_txid)
    return gaps


def _name(info: FileInfo) -> str:
    return f"level {info.level}, {info.min_txid}-{info.max_txid}"
