"""Goal: every mistake of a user, and every broken or absent replica, gives one clear error, soon, and leaves nothing.

Method: one table. Each case does something wrong; the table says which exception comes with which result code, which
class of ours is its cause, which words the message must have, and how long it may take. Besides, no message of the
whole chain of causes holds a key, nothing keeps running, and the same name and replica can be opened properly after.

Bugs that these cases have caught: the name of an unknown replica shown with its keys, a message of urlsplit
passed on, an unregistered name that kept threads, `find_file` without a result code, an error of a file that does not
say which.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import apsw
import pytest

import litestream
from litestream import (
    ChecksumMismatchError,
    CorruptError,
    DeniedError,
    LitestreamError,
    LTXError,
    NoSnapshotsError,
    PositionError,
    ThrottledError,
    TxNotAvailableError,
    UnavailableError,
    UsageError,
)
from litestream.cli import main
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.levels import SNAPSHOT_LEVEL
from tests.support.faulty_client import FaultyClient
from tests.support.s3_server import DEFAULT_BUCKET, SECRET_ACCESS_KEY, S3Server
from tests.support.step_writer import StepWriter
from tests.support.waiting import wait_until

KEY = "sEcReTkEy"  # stands in the URLs, and must stand in no message
URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
FIRST_FILE = f"ltx/0/{1:016x}-{1:016x}.ltx"


class Shop:
    """A good replica, registered as "shop", and ways to go wrong with it."""

    def __init__(self, good: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.good = good
        self.url = f"file://{good}"
        self.directory = directory
        self.monkeypatch = monkeypatch
        self.replica = litestream.register_read_replica("shop", self.url)

    def uri(self, parameters: str = "", name: str = "shop") -> apsw.Connection:
        return apsw.Connection(f"file:{name}?vfs=litestream{parameters and '&' + parameters}", flags=URI)

    def sql(self, *statements: str) -> None:
        """Run statements on a connection; the last one is the mistake."""
        connection = self.uri()
        try:
            for statement in statements:
                connection.execute(statement).fetchall()
        finally:
            connection.close()

    def environment(self, url: str, parameters: str = "") -> None:
        self.monkeypatch.setenv("LITESTREAM_REPLICA_URL", url)
        self.uri(parameters, name="from-the-environment").close()

    def broken(self, change: Callable[[bytearray], bytes | bytearray], file: str = FIRST_FILE) -> apsw.Connection:
        """Open a copy of the replica, one file of it changed."""
        copy = self.copy()
        path = copy / file
        path.write_bytes(change(bytearray(path.read_bytes())))
        return litestream.connect(f"file://{copy}")

    def without(self, file: str) -> apsw.Connection:
        copy = self.copy()
        (copy / file).unlink()
        return litestream.connect(f"file://{copy}")

    def copy(self) -> Path:
        return Path(shutil.copytree(self.good, self.directory / "copy"))

    def faulty(self, method: str, error: Exception) -> apsw.Connection:
        client = FaultyClient(FileReplicaClient(self.good))
        client.fail(method, error, times=None)
        return litestream.connect(client, timeout_s=1)

    def hanging(self, method: str) -> None:
        client = FaultyClient(FileReplicaClient(self.good))
        gate = client.hold(method)
        try:
            litestream.connect(client, timeout_s=0.2)
        finally:
            gate.release()

    def while_reading(self, sql: str) -> None:
        connection = self.uri()
        try:
            rows = connection.execute("SELECT id FROM item")
            assert rows.fetchone() == (1,)
            connection.execute(sql).fetchall()
        finally:
            connection.close()

    def closed(self) -> litestream.ReadReplica:
        replica = litestream.register_read_replica("closed", self.url)
        replica.close()
        return replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One mistake; `code` is None where no SQLite is involved, `cause` where SQLite itself refuses."""

    do: Callable[[Shop], object]
    kind: type[BaseException]
    code: int | None = None
    cause: type[LitestreamError] | None = None
    words: tuple[str, ...] = ()
    limit_s: float = 1.0
    never: tuple[str, ...] = field(default=(KEY,))


def cannot_open(
    do: Callable[[Shop], object], *words: str, cause: type[LitestreamError] = UsageError, limit_s: float = 1.0
) -> Case:
    code = apsw.SQLITE_CANTOPEN
    return Case(do=do, kind=apsw.CantOpenError, code=code, cause=cause, words=words, limit_s=limit_s)


def misused(do: Callable[[Shop], object], *words: str) -> Case:
    return Case(do=do, kind=UsageError, words=words)


def wrong_sql(do: Callable[[Shop], object], *words: str, cause: type[LitestreamError] | None = UsageError) -> Case:
    return Case(do=do, kind=apsw.SQLError, code=apsw.SQLITE_ERROR, cause=cause, words=words)


def read_only(*statements: str) -> Case:
    """SQLite itself refuses, so the words are its own."""
    return Case(do=lambda shop: shop.sql(*statements), kind=apsw.ReadOnlyError, code=apsw.SQLITE_READONLY)


def corrupt(do: Callable[[Shop], object], *words: str, cause: type[LitestreamError] = LTXError, txid: int = 1) -> Case:
    words = ("file://", f"level 0 file {txid:016x}-{txid:016x}", *words)
    return Case(do=do, kind=apsw.CorruptError, code=apsw.SQLITE_CORRUPT, cause=cause, words=words)


def flipped(place: Callable[[int], int]) -> Callable[[bytearray], bytearray]:
    """Change the byte at a place that depends on the file's size."""

    def flip(data: bytearray) -> bytearray:
        data[place(len(data))] ^= 1
        return data

    return flip


def other_page_size() -> bytes:
    client = MemoryReplicaClient()
    steps = StepWriter(client, page_size=512)
    steps.commit("CREATE TABLE other (id)")
    return client.read_ltx(steps.commit("INSERT INTO other VALUES (1)"))


API = {
    "a path instead of a URL": cannot_open(
        lambda _: litestream.connect("/var/lib/app.db"), "/var/lib/app.db", "did you mean file:///var/lib/app.db"
    ),
    "a word instead of a URL": cannot_open(lambda _: litestream.connect("nope"), "'nope'", "file:///absolute/path"),
    "keys without a scheme": cannot_open(lambda _: litestream.connect(f"AKIAX:{KEY}@bucket/path"), "bucket/path"),
    "a key that is not percent-encoded": cannot_open(
        lambda _: litestream.connect(f"s3://AKIAX:{KEY}/{KEY}+{KEY}@bucket/path"), "bucket/path", "%2F", "%2B"
    ),
    "an unknown scheme": cannot_open(lambda _: litestream.connect(f"s4://a:{KEY}@b/p"), "s4://", "known are", "s3://"),
    "an unknown parameter of the URL": cannot_open(
        lambda _: litestream.connect(f"s3://a:{KEY}@b/p?regoin=x"), "regoin", "did you mean region"
    ),
    "a key id without its secret": cannot_open(lambda _: litestream.connect("s3://AKIAX@b/p"), "got only the id"),
    "a Path instead of a URL": misused(lambda _: litestream.connect(Path("/x")), "did you mean file:///x"),  # type: ignore[arg-type]
    "nothing instead of a URL": misused(lambda _: litestream.connect(""), "URL"),
    "a number instead of a client": misused(lambda _: litestream.connect(5), "ReplicaClient", "5"),  # type: ignore[arg-type]
    "a naive datetime": misused(
        lambda shop: litestream.connect(shop.url, time=datetime(2026, 1, 1)),  # noqa: DTZ001 - the mistake
        "naive",
        "2026-01-01",
        "zone",
    ),
    "a time of no kind": misused(lambda shop: litestream.connect(shop.url, time=5), "time", "5"),  # type: ignore[arg-type]
    "time and TXID": misused(lambda shop: litestream.connect(shop.url, time="-5m", txid=1), "time", "txid", "both"),
    "a negative TXID": misused(lambda shop: litestream.connect(shop.url, txid=-3), "-3"),
    "a TXID that is none": misused(lambda shop: litestream.connect(shop.url, txid="xyz"), "xyz", "hexadecimal"),
    "a poll interval of zero": misused(
        lambda shop: litestream.connect(shop.url, poll_interval_s=0), "poll_interval_s=0", "from 10ms"
    ),
    "a negative poll interval": misused(
        lambda shop: litestream.connect(shop.url, poll_interval_s=-1), "poll_interval_s=-1", "from 10ms"
    ),
    "a poll interval that is text": misused(
        lambda shop: litestream.connect(shop.url, poll_interval_s="1s"),  # type: ignore[arg-type]
        "poll_interval_s=1s",
        "number of seconds",
    ),
    "a cache directory": misused(
        lambda shop: litestream.connect(shop.url, cache_dir="/x"), "cache_dir", "not supported yet"
    ),
    "a name that is registered": misused(
        lambda shop: litestream.register_read_replica("shop", shop.url), "'shop'", "unregister"
    ),
    "a name taken by another replica": misused(
        lambda _: litestream.connect("file:///other", name="shop"), "'shop'", "taken"
    ),
    "no name": misused(lambda shop: litestream.register_read_replica("", shop.url), "expected a name"),
    "a bad URL to register": misused(lambda _: litestream.register_read_replica("bad", f"//a:{KEY}@b"), "URL"),
    "an unknown name": misused(lambda _: litestream.read_replica("shpo"), "'shpo'"),
    "an unknown name with keys": misused(
        lambda _: litestream.read_replica(f"s3://a:{KEY}@b/p?secretAccessKey={KEY}"), "s3://b/p"
    ),
    "to unregister an unknown name": misused(lambda _: litestream.unregister_read_replica("shpo"), "'shpo'"),
    "a closed read replica": misused(lambda shop: shop.closed().txid, "'closed'", "is closed"),
    "to poll a closed read replica": misused(lambda shop: shop.closed().poll(), "'closed'", "is closed"),
}

OPEN = {
    "an unknown parameter": cannot_open(
        lambda shop: shop.uri("poll_intervall=1s"), "poll_intervall", "did you mean poll_interval"
    ),
    "a parameter like no other": cannot_open(
        lambda shop: shop.uri("zzz=1"), "'zzz'", "expected one of", "max_staleness"
    ),
    "a bad duration": cannot_open(lambda shop: shop.uri("poll_interval=fast"), "poll_interval=fast", "100ms"),
    "a bad size": cannot_open(lambda shop: shop.uri("cache_size=lots"), "cache_size=lots", "64MiB"),
    "immutable": cannot_open(lambda shop: shop.uri("immutable=1"), "immutable is refused"),
    "nolock": cannot_open(lambda shop: shop.uri("nolock=1"), "nolock is refused"),
    "the parameters time and txid": cannot_open(lambda shop: shop.uri("time=-5m&txid=1"), "time and txid", "both"),
    "hydration": cannot_open(lambda shop: shop.uri("hydration_enabled=1"), "hydration_enabled", "not supported yet"),
    "an unregistered name": cannot_open(
        lambda shop: shop.uri(name="shpo"), "'shpo'", "register it", "replica_url", "LITESTREAM_REPLICA_URL"
    ),
    "a URL for a name": cannot_open(
        lambda _: apsw.Connection(f"s3://a:{KEY}@b/p", flags=apsw.SQLITE_OPEN_READONLY, vfs="litestream"),
        "'s3://b/p'",
        "litestream.connect",
    ),
    "a URI without the flag for URIs": cannot_open(
        lambda _: apsw.Connection("file:shop?x=1", flags=apsw.SQLITE_OPEN_READONLY, vfs="litestream"),
        "file:shop?x=1",
        "SQLITE_OPEN_URI",
    ),
    "to attach an unregistered name": cannot_open(
        lambda shop: shop.sql("ATTACH 'file:shpo?vfs=litestream' AS other"), "'shpo'", "register it"
    ),
    "a bad URL in the environment": cannot_open(
        lambda shop: shop.environment("/var/lib/x"), "LITESTREAM_REPLICA_URL", "did you mean file:///var/lib/x"
    ),
    "a URL in the environment that leads nowhere": cannot_open(
        lambda shop: shop.environment(f"file://{shop.directory}/missing"), "missing", cause=NoSnapshotsError
    ),
    "a missing directory": cannot_open(
        lambda shop: litestream.connect(f"file://{shop.directory}/missing"),
        "/missing",
        "not there",
        cause=NoSnapshotsError,
    ),
    "an empty directory": cannot_open(
        lambda shop: litestream.connect(f"file://{shop.directory}"), "file:///", "empty", cause=NoSnapshotsError
    ),
    "a file where a directory should be": cannot_open(
        lambda shop: litestream.connect(f"file://{shop.good / FIRST_FILE}"), "expected a directory", FIRST_FILE
    ),
    "no snapshot and no first file": cannot_open(
        lambda shop: shop.without(FIRST_FILE),
        "/copy",
        "no file holds the whole database",
        f"{2:016x}",
        cause=NoSnapshotsError,
    ),
    "a gap": cannot_open(
        lambda shop: shop.without(FIRST_FILE.replace("1", "2")), "/copy", "gap", f"{2:016x}", cause=PositionError
    ),
    "an unknown TXID": cannot_open(
        lambda shop: shop.uri("txid=99"), f"{0x99:016x}", "nearest", f"{3:016x}", cause=TxNotAvailableError
    ),
    "a time before history": cannot_open(
        lambda shop: litestream.connect(shop.url, time="2020-01-01"),
        "2020-01-01",
        "earliest",
        "2026-03-01T12:00:00",
        cause=TxNotAvailableError,
    ),
    "a time that means nothing": cannot_open(lambda shop: shop.uri("time=soonish"), "soonish", "-5m", limit_s=5),
    "storage that is away": cannot_open(
        lambda shop: shop.faulty("ltx_files", UnavailableError("the line is down")),
        "line is down",
        cause=UnavailableError,
    ),
    "storage that throttles": cannot_open(
        lambda shop: shop.faulty("ltx_files", ThrottledError("slower please")), "slower please", cause=ThrottledError
    ),
    "a client with an error of its own": cannot_open(
        lambda shop: shop.faulty("ltx_files", ZeroDivisionError(KEY)), "ZeroDivisionError", cause=LitestreamError
    ),
    "a client that hangs as it connects": cannot_open(
        lambda shop: shop.hanging("init"), "did not answer within 0.2 s", cause=UnavailableError, limit_s=1.7
    ),
    "a client that hangs as it lists": cannot_open(
        lambda shop: shop.hanging("ltx_files"), "did not answer within 0.2 s", cause=UnavailableError, limit_s=1.7
    ),
    "a client that hangs as it reads": cannot_open(
        lambda shop: shop.hanging("read_ltx"), "did not answer within 0.2 s", cause=UnavailableError, limit_s=1.7
    ),
    "no permission": Case(
        do=lambda shop: shop.faulty("ltx_files", DeniedError("no permission for /srv")),
        kind=apsw.AuthError,
        code=apsw.SQLITE_AUTH,
        cause=DeniedError,
        words=("no permission for /srv", "cannot open"),
    ),
    "another magic": corrupt(lambda shop: shop.broken(flipped(lambda _: 0)), "magic", "byte 0"),
    "another page size in the header": corrupt(lambda shop: shop.broken(flipped(lambda _: 10)), "page size"),
    "other TXIDs in the header": corrupt(lambda shop: shop.broken(flipped(lambda _: 23)), "TXIDs"),
    "a changed page": corrupt(
        lambda shop: shop.broken(flipped(lambda _: 120)), "file checksum", cause=ChecksumMismatchError
    ),
    "a changed page index": corrupt(lambda shop: shop.broken(flipped(lambda size: size - 30)), "page frames"),
    "another size of the page index": corrupt(lambda shop: shop.broken(flipped(lambda size: size - 18)), "page index"),
    "a changed trailer": corrupt(
        lambda shop: shop.broken(flipped(lambda size: size - 3)), "file checksum", cause=ChecksumMismatchError
    ),
    "half a file": corrupt(lambda shop: shop.broken(lambda data: data[: len(data) // 2])),
    "a file without its last byte": corrupt(lambda shop: shop.broken(lambda data: data[:-1])),
    "an empty file": corrupt(lambda shop: shop.broken(lambda _: b""), "header of 100 bytes, got 0"),
    "a web page for a file": corrupt(lambda shop: shop.broken(lambda _: b"<html>no</html>" * 50), "magic"),
    "a file of another database's page size": corrupt(
        lambda shop: shop.broken(lambda _: other_page_size(), FIRST_FILE.replace("1", "2")), "4096", "512", txid=2
    ),
}

SQL = {
    "an unknown pragma": wrong_sql(
        lambda shop: shop.sql("PRAGMA litestream_tixd"), "litestream_tixd", "did you mean litestream_txid"
    ),
    "a pragma like no other": wrong_sql(
        lambda shop: shop.sql("PRAGMA litestream_zzzz"), "expected one of", "litestream_lag"
    ),
    "a value where none is taken": wrong_sql(
        lambda shop: shop.sql("PRAGMA litestream_lag = 5"), "takes no value", "'5'"
    ),
    "no value where one is needed": wrong_sql(
        lambda shop: shop.sql("PRAGMA litestream_wait"), "litestream_wait", "value"
    ),
    "a bad TXID": wrong_sql(lambda shop: shop.sql("PRAGMA litestream_txid = 'xyz'"), "'xyz'", "hexadecimal"),
    "a TXID beyond the newest": wrong_sql(
        lambda shop: shop.sql("PRAGMA litestream_txid = 99"), f"{0x99:016x}", f"{3:016x}", cause=TxNotAvailableError
    ),
    "a time before history": wrong_sql(
        lambda shop: shop.sql("PRAGMA litestream_time = '2020-01-01'"),
        "earliest",
        "2026-03-01T12:00:00",
        cause=TxNotAvailableError,
    ),
    "a bad time": wrong_sql(lambda shop: shop.sql("PRAGMA litestream_time = '1/2/3/4'"), "1/2/3/4", "-5m"),
    "a bad poll interval": wrong_sql(
        lambda shop: shop.sql("PRAGMA litestream_poll_interval = 'fast'"), "fast", "100ms"
    ),
    "a poll interval of zero": wrong_sql(lambda shop: shop.sql("PRAGMA litestream_poll_interval = 0"), "0.01 s"),
    "travel in a transaction": wrong_sql(
        lambda shop: shop.sql("BEGIN", "PRAGMA litestream_time = 'latest'"), "inside a transaction", "end it"
    ),
    "travel in a transaction that has read": wrong_sql(
        lambda shop: shop.sql("BEGIN", "SELECT * FROM item", "PRAGMA litestream_txid = 1"), "inside a transaction"
    ),
    "travel while a statement is being read": wrong_sql(
        lambda shop: shop.while_reading("PRAGMA litestream_time = 'latest'"), "every statement still being read"
    ),
    "to wait for what a transaction cannot see": wrong_sql(
        lambda shop: shop.sql("BEGIN", "SELECT * FROM item", "PRAGMA litestream_wait = 9"),
        "cannot become visible",
        "this transaction",
    ),
    "to wait where time stands still": wrong_sql(
        lambda shop: shop.sql("PRAGMA litestream_txid = 2", "PRAGMA litestream_wait = 9"), "litestream_time is set"
    ),
    "prefetch": wrong_sql(lambda shop: shop.sql("PRAGMA litestream_prefetch = 4"), "from 65536", "got 4"),
    "hydration": wrong_sql(lambda shop: shop.sql("PRAGMA litestream_hydration_progress"), "not supported yet"),
    "exclusive locking": wrong_sql(lambda shop: shop.sql("PRAGMA locking_mode = EXCLUSIVE"), "EXCLUSIVE is refused"),
    "exclusive locking of a schema": wrong_sql(
        lambda shop: shop.sql("PRAGMA main.locking_mode = exclusive"), "EXCLUSIVE is refused"
    ),
    "a function about no schema": wrong_sql(
        lambda shop: shop.sql("SELECT litestream_time('nope')"), "nope", "not opened through", "litestream.connect"
    ),
    "a function about a database that is no replica": wrong_sql(
        lambda _: apsw.Connection(":memory:").execute("SELECT litestream_txid()"), "main", "not opened through"
    ),
    "history of a database that is no replica": wrong_sql(
        lambda _: apsw.Connection(":memory:").execute("SELECT * FROM litestream_history()").fetchall(),
        "main",
        "not opened through",
    ),
    "to set the time inside a view": wrong_sql(
        lambda shop: shop.sql("SELECT * FROM traveller"), "unsafe use of litestream_set_time", cause=None
    ),
    "to set the time with a table": wrong_sql(
        lambda shop: shop.sql("SELECT litestream_set_time('latest') FROM item"), "inside a transaction"
    ),
    "to wait for too long": Case(
        do=lambda shop: shop.sql("PRAGMA busy_timeout = 100", "PRAGMA litestream_wait = 9"),
        kind=apsw.BusyError,
        code=apsw.SQLITE_BUSY,
        cause=UnavailableError,
        words=(f"{9:016x}", "within 0.1 s", f"newest is {3:016x}"),
    ),
    "INSERT": read_only("INSERT INTO item VALUES (9, 'nine')"),
    "INSERT in a transaction begun for it": read_only("BEGIN IMMEDIATE", "INSERT INTO item VALUES (9, 'nine')"),
    "DELETE": read_only("DELETE FROM item"),
    "CREATE": read_only("CREATE TABLE other (id)"),
    "DROP": read_only("DROP TABLE item"),
    "VACUUM": read_only("VACUUM"),
    "to set user_version": read_only("PRAGMA user_version = 5"),
}

TABLE = {
    f"{part}: {what}": case
    for part, cases in {"api": API, "open": OPEN, "sql": SQL}.items()
    for what, case in cases.items()
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("good")
    steps = StepWriter(FileReplicaClient(directory))
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO item VALUES (1, 'one')")
    steps.commit("INSERT INTO item VALUES (2, 'two')")
    steps.commit("CREATE VIEW traveller AS SELECT litestream_set_time('-5m')")
    return directory


@pytest.fixture
def shop(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with (shop := Shop(good, tmp_path, monkeypatch)).replica:
        yield shop


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE)
def test_a_mistake_is_told_clearly_and_soon_and_leaves_nothing(case: Case, shop: Shop) -> None:
    threads = set(threading.enumerate())
    _raised(case, lambda: case.do(shop))
    shop.replica.close()  # the mistake may be made with a replica that is open
    wait_until(lambda: set(threading.enumerate()) <= threads, "the threads of what was opened", timeout_s=5)
    _assert_opens(shop.url)


S3_TABLE: dict[str, tuple[Callable[[S3Server], object], Case]] = {}


def _s3_case(what: str, prepare: Callable[[S3Server], object], case: Case) -> None:
    S3_TABLE[what] = prepare, case


def _refusing(code: str, status: int) -> Callable[[S3Server], object]:
    return lambda server: server.fail(code, status=status, times=None, message=SECRET_ACCESS_KEY)


def _s3_denied(*words: str) -> Case:
    return Case(do=_nothing, kind=apsw.AuthError, code=apsw.SQLITE_AUTH, cause=DeniedError, words=words, limit_s=3)


def _nothing(_: Shop) -> None:
    """What is done to the server is what goes wrong."""


_s3_case(
    "no such bucket",
    _refusing("NoSuchBucket", 404),
    cannot_open(_nothing, f"bucket {DEFAULT_BUCKET} does not exist", limit_s=3),
)
_s3_case("access denied", _refusing("AccessDenied", 403), _s3_denied("access denied", "s3:ListBucket", DEFAULT_BUCKET))
_s3_case("unknown key id", _refusing("InvalidAccessKeyId", 403), _s3_denied("access key id is unknown"))
_s3_case("wrong secret", _refusing("SignatureDoesNotMatch", 403), _s3_denied("secret access key does not match"))
_s3_case(
    "throttled",
    _refusing("SlowDown", 503),
    cannot_open(_nothing, "s3://", "fewer requests", cause=ThrottledError, limit_s=4),
)
_s3_case(
    "a failing server",
    _refusing("InternalError", 500),
    cannot_open(_nothing, "s3://", "server failed", "500", cause=UnavailableError, limit_s=4),
)
_s3_case(
    "a hanging server",
    lambda server: server.fail("hang", times=None),
    cannot_open(_nothing, "s3://", "answer", cause=UnavailableError, limit_s=4),
)


@pytest.fixture(scope="module")
def s3_server(good: Path) -> Iterator[S3Server]:
    with S3Server() as server:
        server.fill(
            [(f"shop/{int(path.parent.name):04x}/{path.name}", path.read_bytes()) for path in good.rglob("*.ltx")]
        )
        yield server


@pytest.mark.parametrize("what", S3_TABLE)
def test_a_bad_day_of_s3_is_told_clearly_and_soon_and_leaves_nothing(what: str, s3_server: S3Server) -> None:
    prepare, case = S3_TABLE[what]
    threads = set(threading.enumerate())
    prepare(s3_server)
    try:
        _raised(case, lambda: litestream.connect(s3_server.url("shop"), timeout_s=2), SECRET_ACCESS_KEY)
    finally:
        s3_server.reset()
    wait_until(lambda: set(threading.enumerate()) <= threads, "the threads of what was opened", timeout_s=10)
    _assert_opens(s3_server.url("shop"))


def test_an_s3_path_without_a_replica_is_told_at_once(s3_server: S3Server) -> None:
    case = cannot_open(_nothing, "s3://", "/empty", "not there", cause=NoSnapshotsError, limit_s=3)
    _raised(case, lambda: litestream.connect(s3_server.url("empty")), SECRET_ACCESS_KEY)


def test_an_s3_server_that_is_not_there_is_told_soon() -> None:
    case = cannot_open(_nothing, "s3://b/p", "cannot connect", "127.0.0.1:1", cause=UnavailableError, limit_s=4)
    url = f"s3://AKIAX:{KEY}@b/p?endpoint=http://127.0.0.1:1&region=us-east-1"
    _raised(case, lambda: litestream.connect(url, timeout_s=2))


def test_a_directory_that_may_not_be_read_is_denied(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("replication.client.file.os.scandir", scandir)
    words = (str(shop.good), "no permission", "Permission denied")
    case = Case(do=_nothing, kind=apsw.AuthError, code=apsw.SQLITE_AUTH, cause=DeniedError, words=words)
    _raised(case, lambda: litestream.connect(shop.url))


def test_a_broken_page_of_a_large_file_fails_where_it_is_read_and_nowhere_else(tmp_path: Path) -> None:
    client = FileReplicaClient(tmp_path)
    steps = StepWriter(client)
    info = steps.commit(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, body); WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 200) INSERT INTO item SELECT i, randomblob(3000) FROM n; CREATE TABLE small (id)",
        level=SNAPSHOT_LEVEL,
    )
    assert info.size > 400_000
    path = next(tmp_path.rglob("*.ltx"))
    data = bytearray(path.read_bytes())
    data[300_000:304_000] = bytes(4_000)
    path.write_bytes(data)
    connection = litestream.connect(f"file://{tmp_path}")
    assert connection.execute("SELECT count(*) FROM small").fetchall() == [(0,)]
    with pytest.raises(apsw.CorruptError, match=f"level 9 file {1:016x}-{1:016x}, at byte") as raised:
        connection.execute("SELECT sum(length(body)) FROM item").fetchall()
    assert isinstance(raised.value.__cause__, CorruptError)
    assert connection.execute("SELECT count(*) FROM small").fetchall() == [(0,)]
    connection.close()


def test_a_good_url_in_the_environment_opens_any_name(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITESTREAM_REPLICA_URL", shop.url)
    connection = shop.uri(name="whatever")
    assert connection.execute("SELECT count(*) FROM item").fetchall() == [(2,)]
    connection.close()


@pytest.mark.parametrize("flags", [apsw.SQLITE_OPEN_READONLY, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE])
def test_a_registered_name_opens_without_a_uri_and_read_only_whatever_the_flags(shop: Shop, flags: int) -> None:
    connection = apsw.Connection(shop.replica.name, flags=flags, vfs="litestream")
    assert connection.execute("SELECT count(*) FROM item").fetchall() == [(2,)]
    assert connection.readonly("main")
    connection.close()


def test_without_a_name_sqlite_opens_a_temporary_database_of_its_own(shop: Shop) -> None:
    connection = shop.uri(name="")
    with pytest.raises(apsw.SQLError, match="not opened through the litestream VFS"):
        connection.execute("SELECT litestream_txid()").fetchall()
    connection.close()


def test_a_wal_is_refused_as_sqlite_refuses_it(shop: Shop) -> None:
    connection = shop.uri()
    assert connection.execute("PRAGMA journal_mode = WAL").fetchall() == [("delete",)]
    connection.execute("BEGIN IMMEDIATE; COMMIT")  # a read transaction, as on any read-only database
    connection.close()


def test_no_repr_shows_a_key(shop: Shop) -> None:
    url = f"s3://AKIAX:{KEY}@bucket/path?region=us-east-1"
    with litestream.register_read_replica(url, url) as replica:
        assert repr(replica) == "<ReadReplica s3://bucket/path not opened yet>"
        assert KEY not in repr(replica.options)
    assert repr(replica) == "<ReadReplica s3://bucket/path closed>"
    assert KEY not in repr(shop.replica)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["query", "GOOD", "SELECT * FROM itme"], "no such table: itme"),
        (["query", "GOOD", "DELETE FROM item"], "readonly"),
        (["query", "GOOD", "SELECT 1", "--txid", "99"], f"nearest available is {3:016x}"),
        (["query", "GOOD", "SELECT 1", "--time", "2020-01-01"], "earliest"),
        (["history", "file:///nowhere/at/all"], "not there"),
        (["query", f"s3://AKIAX:{KEY}/{KEY}@bucket/path", "SELECT 1"], "%2F"),
    ],
)
def test_the_command_line_tells_a_mistake_in_one_line(
    arguments: list[str], words: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert main([shop.url if argument == "GOOD" else argument for argument in arguments]) == 1
    assert time.monotonic() - began < 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("Error: ")
    assert output.err.count("\n") == 1
    assert words in output.err
    assert KEY not in output.err


def _raised(case: Case, do: Callable[[], object], *never: str) -> None:
    """Do the mistake, and hold what comes to the table."""
    began = time.monotonic()
    with pytest.raises(case.kind) as raised:
        do()
    assert time.monotonic() - began < case.limit_s
    error = raised.value
    assert type(error) is case.kind
    message = str(error)
    assert "\n" not in message
    assert len(message) < 400
    for words in case.words:
        assert words in message
    if case.code is not None:
        assert getattr(error, "extendedresult", None) == case.code
        assert case.cause is None or type(error.__cause__) is case.cause
    for one in _chain(error):
        for secret in (*case.never, *never):
            assert secret not in str(one) or one.__class__.__module__ == "builtins"  # what a foreign client raised


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException | None] = [None]
    one: BaseException | None = error
    while one not in seen:
        assert one is not None
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__


def _assert_opens(url: str) -> None:
    connection = litestream.connect(url)
    assert connection.execute("SELECT id FROM item").fetchall() == [(1,), (2,)]
    connection.close()
