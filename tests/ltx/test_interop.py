"""Files of ours before the real program: it restores from what we encode and from what we merge, byte for byte."""

import random
from pathlib import Path

import apsw
import pytest

from replication.ltx.compactor import compact
from replication.ltx.encoder import Encoder
from replication.ltx.name import ltx_file_path
from replication.position import Pgno
from tests.support import litestream_program
from tests.support.ltx_files import make_header

pytestmark = pytest.mark.interop


def make_states(path: Path, page_size: int) -> list[bytes]:
    """Return a database as it was after each of a few commits: it grows, shrinks and grows again."""
    connection = apsw.Connection(str(path))
    connection.pragma("page_size", page_size)
    rows = random.Random(page_size)  # noqa: S311
    states = []
    for sql, bindings in [
        ("CREATE TABLE t (x)", ()),
        ("INSERT INTO t VALUES (?)", (rows.randbytes(8 * page_size),)),
        ("DELETE FROM t", ()),
        ("VACUUM", ()),
        ("INSERT INTO t VALUES (?)", (rows.randbytes(3 * page_size),)),
    ]:
        connection.execute(sql, bindings)
        states.append(path.read_bytes())
    connection.close()
    return states


def pages_of(state: bytes, page_size: int) -> dict[Pgno, bytes]:
    return {Pgno(i // page_size + 1): state[i : i + page_size] for i in range(0, len(state), page_size)}


@pytest.mark.parametrize("page_size", [512, 4096, 65_536])
def test_the_real_program_restores_what_we_wrote_and_merged(tmp_path: Path, page_size: int) -> None:
    states = make_states(tmp_path / "app.db", page_size)
    replica = litestream_program.FileReplica(tmp_path / "replica")
    for level in (0, 1):
        (replica.path / "ltx" / str(level)).mkdir(parents=True)

    before: dict[Pgno, bytes] = {}
    paths = []
    for txid, state in enumerate(states, 1):
        pages = pages_of(state, page_size)
        paths.append(Path(ltx_file_path(str(replica.path), 0, txid, txid)))
        with paths[-1].open("wb") as file:
            encoder = Encoder(file, make_header(txid, commit=len(pages), page_size=page_size))
            for pgno, page in pages.items():
                if before.get(pgno) != page:
                    encoder.encode_page(pgno, page)
            encoder.close()
        before = pages
    for txid, state in enumerate(states, 1):
        litestream_program.restore(replica, output := tmp_path / f"{txid}.db", txid=txid)
        assert output.read_bytes() == state

    readers = [path.open("rb") for path in paths]
    with Path(ltx_file_path(str(replica.path), 1, 1, len(states))).open("wb") as file:
        compact(readers, file)
    for reader in readers:
        reader.close()
    for path in paths:
        path.unlink()
    litestream_program.restore(replica, output := tmp_path / "merged.db")
    assert output.read_bytes() == states[-1]
