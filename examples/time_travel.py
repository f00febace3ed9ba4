"""Read a database as it was: python examples/time_travel.py URL SQL [WHEN].

WHEN is what PRAGMA litestream_time understands: -5m, '2 days ago', 2026-01-31T12:00:00Z; the oldest state if left out.
"""

import sys
from contextlib import closing

import litestream


def main(url: str, sql: str, when: str = "") -> None:
    """Run a query on the newest state and on an earlier one."""
    with closing(litestream.connect(url)) as connection:
        points = connection.execute("SELECT txid, time FROM litestream_history").fetchall()
        print(f"{len(points)} states, from {points[0][1]} to {points[-1][1]}")
        print("now: ", connection.execute(sql).fetchall())

        if when:
            connection.pragma("litestream_time", when)
        else:
            connection.pragma("litestream_txid", points[0][0])
        print("then:", connection.execute(sql).fetchall())
        print(f"that is TXID {connection.pragma('litestream_txid')} of {connection.pragma('litestream_time')}")

        connection.pragma("litestream_time", "latest")  # and on it follows
        print("now: ", connection.execute(sql).fetchall())


if __name__ == "__main__":
    main(*sys.argv[1:])
