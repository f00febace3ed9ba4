"""A database in use, the `DB` that replicates it, and what comes out again.

The local directory of a `DB` has the layout of a file replica, so its level-0 files are restored from where they lie.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import apsw

from replication.client.file import FileReplicaClient
from replication.db import DB
from replication.ltx.decoder import Decoder
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.index import PageIndex
from replication.ltx.tail import decode_tail
from replication.position import TXID
from tests.support.litestream_program import FileReplica
from tests.support.litestream_program import restore as program_restore
from tests.support.restoring import restore_to


def open_db(path: Path, *, monitor_interval_s: float = 0.0, busy_timeout_s: float = 1.0) -> DB:
    """A `DB` to be used in a `with` statement, that does nothing by itself: no thread, no checkpoints by time."""
    db = DB(path)
    db.monitor_interval_s = monitor_interval_s
    db.busy_timeout_s = busy_timeout_s
    db.checkpoint_interval_s = 0.0
    return db


def connect(path: Path, *, page_size: int = 4096, autocheckpoint: int = 0) -> apsw.Connection:
    """The application's connection."""
    connection = apsw.Connection(str(path))
    connection.pragma("page_size", page_size)
    connection.pragma("auto_vacuum", "FULL")
    connection.pragma("journal_mode", "wal")
    connection.wal_autocheckpoint(autocheckpoint)
    connection.set_busy_timeout(10_000)
    return connection


def image(connection: apsw.Connection) -> bytes:
    """The bytes of the database as a connection sees it."""
    return bytes(connection.serialize("main"))


def as_replica(db: DB) -> FileReplica:
    return FileReplica(db.meta_path)


def restored(db: DB, directory: Path, txid: int | None = None, *, by_program: bool = False) -> bytes:
    """What a restore from the local files gives, at a TXID or at the newest."""
    output = directory / f"restored-{txid}-{by_program}.db"
    output.unlink(missing_ok=True)
    if by_program:
        program_restore(as_replica(db), output, txid=txid)
    else:
        restore_to(FileReplicaClient(db.meta_path), output, txid=txid)
    return output.read_bytes()


def query(data: bytes, sql: str) -> list[tuple[object, ...]]:
    """What a database that is in memory answers."""
    connection = apsw.Connection(":memory:")
    patched = bytearray(data)
    patched[18:20] = b"\x01\x01"  # a database in WAL mode cannot be in memory
    connection.deserialize("main", bytes(patched))
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def states(db: DB) -> Iterator[tuple[int, bytes]]:
    """Every TXID from 1 on with the database as it is there, one level-0 file applied after the other.

    Raises:
        AssertionError: a TXID is missing.

    """
    data = bytearray()
    for expected, txid in enumerate(local_txids(db), 1):
        assert txid == expected
        with db.ltx_path(0, TXID(txid), TXID(txid)).open("rb") as file:
            decoder = Decoder(file)
            page_size, size = decoder.header.page_size, decoder.header.commit * decoder.header.page_size
            del data[size:]
            data.extend(bytes(size - len(data)))
            for page in decoder:
                data[(page.pgno - 1) * page_size : page.pgno * page_size] = page.data
        yield txid, bytes(data)


def local_txids(db: DB) -> list[int]:
    """The TXIDs of the local level-0 files, ascending."""
    return [info.max_txid for info in FileReplicaClient(db.meta_path).ltx_files(0)]


def header_of(db: DB, txid: int) -> Header:
    return Header.unpack(_file(db, txid)[:HEADER_SIZE])


def index_of(db: DB, txid: int) -> PageIndex:
    data = _file(db, txid)
    return decode_tail(data, len(data))


def page_counts(db: DB, txids: Iterable[int]) -> list[int]:
    """How many pages the local files of these TXIDs hold."""
    return [len(index_of(db, txid)) for txid in txids]


def _file(db: DB, txid: int) -> bytes:
    return (db.ltx_level_dir(0) / f"{txid:016x}-{txid:016x}.ltx").read_bytes()
