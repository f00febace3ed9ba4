"""What SQLite says of a database file that nobody else has open.

A restored database says "WAL mode" in its header. It is opened as immutable, so that SQLite reads no WAL, takes no lock
and leaves no `-wal` or `-shm` behind.

Source: sqlite.org/uri.html, "immutable", and sqlite.org/pragma.html, "quick_check".
"""

from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import apsw

from replication.errors import CorruptError
from replication.restore.options import IntegrityCheck

MAX_LINES = 5
"""How many lines of SQLite's report an error shows."""

_STEPS_BETWEEN_SIGNALS = 10_000
_PRAGMAS = {"quick": "quick_check", "full": "integrity_check"}


def check_integrity(path: Path, check: IntegrityCheck) -> None:
    """Let SQLite check a database file.

    Raises:
        CorruptError: it is broken; the message has the first lines of SQLite's report.

    """
    if check == "none":
        return
    uri = f"file:{quote(str(path.absolute()))}?immutable=1"
    pragma = _PRAGMAS[check]
    try:
        with closing(apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)) as connection:
            connection.set_progress_handler(lambda: False, _STEPS_BETWEEN_SIGNALS)  # lets Python see Ctrl-C
            report = [str(line) for (line,) in connection.execute(f"PRAGMA {pragma}({MAX_LINES})")]
    except apsw.Error as error:
        msg = f"the restored database fails its {pragma}: {error}"
        raise CorruptError(msg) from error
    if report != ["ok"]:
        msg = f"the restored database fails its {pragma}: {'; '.join(report)}"
        raise CorruptError(msg)
