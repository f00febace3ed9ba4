"""Ask one query of two instants: python examples/two_instants.py URL TABLE WHEN.

Shows the rows of a table that are new or changed since WHEN (+), and those that were there and are not any more (-).
"""

import sys
from contextlib import closing
from urllib.parse import quote

import litestream

CHANGES = """
    SELECT '-', * FROM (SELECT * FROM earlier.{table} EXCEPT SELECT * FROM main.{table})
    UNION ALL
    SELECT '+', * FROM (SELECT * FROM main.{table} EXCEPT SELECT * FROM earlier.{table})
"""


def main(url: str, table: str, when: str) -> None:
    """Attach the replica a second time, at an instant, and compare."""
    with closing(litestream.connect(url)) as connection:
        uri = f"file:earlier?vfs=litestream&replica_url={quote(url, safe='')}&time={quote(when, safe='')}"
        connection.execute("ATTACH ? AS earlier", (uri,))
        print("from", connection.execute("SELECT litestream_time('earlier')").get)
        print("to  ", connection.execute("SELECT litestream_time('main')").get)
        quoted = '"{}"'.format(table.replace('"', '""'))
        for row in connection.execute(CHANGES.format(table=quoted)):
            print(*row)


if __name__ == "__main__":
    main(*sys.argv[1:])
