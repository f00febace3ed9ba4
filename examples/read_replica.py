"""Open a replica and watch it follow its primary: python examples/read_replica.py URL [TRANSACTIONS]."""

import sys
from contextlib import closing

import apsw

import litestream

NAMES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '!_litestream%' ESCAPE '!' ORDER BY name"
READ_ONLY_URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def main(url: str, transactions: int = 3) -> None:
    """Show how many rows each table has, and again whenever the replica has moved on."""
    # Under its name any code of this process can open the replica, without knowing where it is.
    with (
        litestream.register_read_replica("app", url, poll_interval_s=0.2) as replica,
        closing(apsw.Connection("file:app?vfs=litestream", flags=READ_ONLY_URI)) as connection,
    ):
        connection.set_busy_timeout(60_000)  # how long litestream_wait may wait
        txid = "0"
        for _ in range(transactions):
            connection.pragma("litestream_wait", f"{int(txid, 16) + 1:x}")
            with connection:  # what is read in one transaction belongs to one TXID
                txid = connection.pragma("litestream_txid")
                names = [name for (name,) in connection.execute(NAMES)]
                counts = {name: connection.execute(f'SELECT count(*) FROM "{name}"').get for name in names}  # noqa: S608
            print(f"TXID {txid}, {replica.data_age_s:.1f} s old: {counts}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
