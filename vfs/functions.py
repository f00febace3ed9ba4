"""SQL functions on every connection: `litestream_time()`, `litestream_history()` and the like.

They speak of the replica opened as the schema they are given, `main` if none, and say so where that is no replica.
They are added to every connection of the process, so this imports next to nothing: what the answers need is imported
when the first replica is opened.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

import apsw

if TYPE_CHECKING:
    from vfs.file import ReplicaFile

HISTORY_TABLE = "litestream_history"


def add_functions(connection: apsw.Connection) -> None:
    """Give a connection the functions; called for each one that is opened."""
    of = ref(connection)  # a strong reference would keep the connection open for ever

    def getter(pragma: str) -> Callable[..., str]:
        def get(*arguments: object) -> str:
            return _answer(of(), pragma, arguments)

        return get

    def lag(*arguments: object) -> int:
        return int(str(_answer(of(), "litestream_lag", arguments)))

    def set_time(*arguments: object) -> str:
        return _answer(of(), "litestream_time", (), str(arguments[0]))

    for arguments in (0, 1):
        connection.create_scalar_function("litestream_time", getter("litestream_time"), arguments)
        connection.create_scalar_function("litestream_txid", getter("litestream_txid"), arguments)
        connection.create_scalar_function("litestream_lag", lag, arguments)
    # A view inside a replica must not be able to move the connection that reads it.
    connection.create_scalar_function("litestream_set_time", set_time, 1, flags=apsw.SQLITE_DIRECTONLY)
    connection.create_module(
        HISTORY_TABLE,
        _HistoryModule(),  # type: ignore[arg-type]  # APSW's protocol names more than SQLite calls
        use_bestindex_object=True,
        eponymous=True,
        eponymous_only=True,
        read_only=True,
    )


def find_file(connection: apsw.Connection | None, schema: str) -> "ReplicaFile":
    """Return the file that a connection has open as a schema.

    Raises:
        apsw.SQLError: it has none of that name, or not on a replica.

    """
    import ctypes  # noqa: PLC0415 - not at import

    from vfs.file import GET_FILE  # noqa: PLC0415

    found: list[ReplicaFile] = []
    holder = ctypes.py_object(found)
    try:
        if connection is not None:
            connection.file_control(schema, GET_FILE, ctypes.addressof(holder))
    except apsw.Error:
        found.clear()
    if not found:
        from replication.errors import UsageError  # noqa: PLC0415
        from vfs.codes import pragma_error  # noqa: PLC0415

        error = UsageError(
            f"database {schema} is not opened through the litestream VFS: open it with litestream.connect()"
        )
        raise pragma_error(error) from error
    return found[0]


def _answer(
    connection: apsw.Connection | None, pragma: str, arguments: tuple[object, ...], value: str | None = None
) -> str:
    file = find_file(connection, str(arguments[0]) if arguments else "main")
    from replication.errors import LitestreamError  # noqa: PLC0415 - not at import
    from vfs.codes import pragma_error  # noqa: PLC0415
    from vfs.pragma import answer  # noqa: PLC0415

    try:
        return answer(file, pragma, value)
    except LitestreamError as error:
        raise pragma_error(error) from error


class _HistoryModule:
    """The table-valued function `litestream_history([schema])`: the TXIDs one can travel to, oldest first."""

    def Connect(  # noqa: N802 - APSW's name
        self, connection: apsw.Connection, _module: str, _database: str, _table: str, *_arguments: str
    ) -> tuple[str, "_HistoryTable"]:
        return (
            "CREATE TABLE history(txid TEXT, time TEXT, level INTEGER, min_txid TEXT, size INTEGER, schema HIDDEN)",
            _HistoryTable(ref(connection)),
        )

    Create = Connect


class _HistoryTable:
    """Rows are made when a query begins to read them."""

    _SCHEMA_COLUMN = 5

    def __init__(self, connection: "ref[apsw.Connection]") -> None:
        self._connection = connection

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:  # noqa: N802
        """Take the schema as an argument where it is given."""
        for number in range(info.nConstraint):
            if info.get_aConstraint_iColumn(number) != self._SCHEMA_COLUMN:
                continue
            if info.get_aConstraint_op(number) != apsw.SQLITE_INDEX_CONSTRAINT_EQ:
                continue
            if not info.get_aConstraint_usable(number):
                return False
            info.set_aConstraintUsage_argvIndex(number, 1)
            info.set_aConstraintUsage_omit(number, True)
            info.idxNum = 1
            break
        return True

    def Open(self) -> "_HistoryCursor":  # noqa: N802
        return _HistoryCursor(self._connection)

    def Disconnect(self) -> None:  # noqa: N802
        """Nothing is held."""

    Destroy = Disconnect


class _HistoryCursor:
    def __init__(self, connection: "ref[apsw.Connection]") -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self._at = 0

    def Filter(self, index: int, _name: str | None, arguments: tuple[Any, ...] | None) -> None:  # noqa: N802
        from replication.clock import format_instant  # noqa: PLC0415 - not at import
        from replication.errors import LitestreamError  # noqa: PLC0415
        from replication.position import format_txid  # noqa: PLC0415
        from vfs.codes import pragma_error  # noqa: PLC0415

        schema = str(arguments[0]) if index and arguments else "main"
        file = find_file(self._connection(), schema)
        try:
            points = file.use.traveller.restore_points(file.waiter())
        except LitestreamError as error:
            raise pragma_error(error) from error
        self._at = 0
        self._rows = [
            (format_txid(p.txid), format_instant(p.time), p.level, format_txid(p.min_txid), p.size, schema)
            for p in points
        ]

    def Eof(self) -> bool:  # noqa: N802
        return self._at >= len(self._rows)

    def Next(self) -> None:  # noqa: N802
        self._at += 1

    def Rowid(self) -> int:  # noqa: N802
        return self._at

    def Column(self, number: int) -> Any:  # noqa: N802, ANN401
        return self._at if number < 0 else self._rows[self._at][number]

    def Close(self) -> None:  # noqa: N802
        self._rows = []
