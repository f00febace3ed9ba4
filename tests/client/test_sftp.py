"""SFTP: the suite of all clients on three servers, round trips, what lies beside the files, and connections that break.

Bugs planted to see it fail: a file opened anew for each read, the time of the upload as mtime, a rename that replaces
where the name must be free, a lost connection that is not made anew, an identity that is not looked at, a file that
shrank taken for a shorter one, links listed, the parent's connection used in a forked child.
"""

import io
import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from replication.client import sftp_upload
from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient
from replication.client.sftp import LEFTOVER_AGE_S, SFTPReplicaClient
from replication.client.sftp_files import MAX_OPEN_FILES
from replication.client.url import replica_client
from replication.clock import from_timestamp_ms
from replication.errors import LTXMissingError, UnavailableError
from replication.position import TXID
from tests.client.conformance import SharedStoreTests
from tests.client.ltx_bytes import TIMESTAMP_MS, WatchedReader, ltx_bytes, names, write
from tests.support.relay import Relay
from tests.support.sftp_server import AsyncSSHServer, OpenSSHServer, PlainFiles

NAME = "0000000000000001-0000000000000001.ltx"

_numbers = itertools.count(1)


def inner(client: ReplicaClient) -> SFTPReplicaClient:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, SFTPReplicaClient)
    return client.inner


class SFTPTests(SharedStoreTests):
    server: OpenSSHServer | AsyncSSHServer

    @pytest.fixture
    def client(self) -> Iterator[ReplicaClient]:
        client = replica_client(self.server.url(f"conformance/{next(_numbers)}"))
        yield client
        client.close()

    def directory(self, client: ReplicaClient, level: int) -> Path:
        return self.server.files / inner(client).config.path / "ltx" / str(level)

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        directory = self.directory(client, level)
        directory.mkdir(parents=True)
        for txid in txids:
            (directory / f"{txid:016x}-{txid:016x}.ltx").write_bytes(ltx_bytes(txid, txid))

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        path = self.directory(client, level) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return replica_client(self.server.url(inner(client).config.path + "0"))


class TestOpenSSH(SFTPTests):
    @pytest.fixture(autouse=True)
    def use(self, sftp_server: OpenSSHServer) -> None:
        self.server = sftp_server


@pytest.fixture(scope="module")
def asyncssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsyncSSHServer]:
    with AsyncSSHServer(tmp_path_factory.mktemp("asyncssh")) as server:
        yield server


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsyncSSHServer]:
    with AsyncSSHServer(tmp_path_factory.mktemp("plain"), PlainFiles) as server:
        yield server


class TestAsyncSSH(SFTPTests):
    @pytest.fixture(autouse=True)
    def use(self, asyncssh_server: AsyncSSHServer) -> None:
        self.server = asyncssh_server


class TestServerWithoutExtensions(SFTPTests):
    @pytest.fixture(autouse=True)
    def use(self, plain_server: AsyncSSHServer) -> None:
        self.server = plain_server


# Round trips


@pytest.fixture
def logged(asyncssh_server: AsyncSSHServer) -> Iterator[SFTPReplicaClient]:
    """A client of a server that notes requests, which does not retry; its replica holds one file."""
    client = inner(replica_client(asyncssh_server.url(f"logged/{next(_numbers)}")))
    write(client, 0, 1)
    asyncssh_server.log.clear()
    yield client
    client.close()


@pytest.fixture
def relay(sftp_server: OpenSSHServer) -> Iterator[Relay]:
    with Relay(sftp_server.port) as relay:
        yield relay


@pytest.fixture
def path() -> str:
    return f"sftp/{next(_numbers)}"


@pytest.fixture
def relayed(sftp_server: OpenSSHServer, relay: Relay, path: str) -> Iterator[SFTPReplicaClient]:
    """A client whose connection can be slowed down and broken, which does not retry."""
    client = inner(replica_client(sftp_server.url(path, port=relay.port), timeout_s=5.0))
    yield client
    client.close()


def test_reading_a_page_is_one_request_once_the_file_is_open(
    asyncssh_server: AsyncSSHServer, logged: SFTPReplicaClient
) -> None:
    (info,) = logged.ltx_files(0)
    asyncssh_server.log.clear()
    logged.read_ltx(info, 100, 200)
    assert asyncssh_server.log == ["open", "fstat", "read"]
    asyncssh_server.log.clear()
    for start in (0, 300, 700):
        logged.read_ltx(info, start, start + 100)
    assert asyncssh_server.log == ["read"] * 3


def test_a_small_file_is_written_with_seven_requests(
    asyncssh_server: AsyncSSHServer, logged: SFTPReplicaClient
) -> None:
    write(logged, 0, 2)
    assert asyncssh_server.log == ["open", "write", "fsetstat", "fsync", "fstat", "close", "posix_rename"]


def test_a_large_file_is_synced_now_and_then(
    asyncssh_server: AsyncSSHServer, logged: SFTPReplicaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp_upload, "SYNC_SIZE", 3 * 2**20)
    write(logged, 9, 1, data=ltx_bytes(1, 1, size=9 * 2**20))
    assert asyncssh_server.log.count("fsync") == 4


def test_readers_of_one_file_that_come_at_once_open_it_once(
    asyncssh_server: AsyncSSHServer, logged: SFTPReplicaClient
) -> None:
    (info,) = logged.ltx_files(0)
    asyncssh_server.log.clear()
    with ThreadPoolExecutor(16) as pool:
        parts = list(pool.map(lambda start: logged.read_ltx(info, start, start + 10), range(0, 160, 10)))
    assert b"".join(parts) == ltx_bytes(1, 1)[:160]
    assert asyncssh_server.log.count("open") == 1


def test_the_number_of_open_files_is_bounded(asyncssh_server: AsyncSSHServer, logged: SFTPReplicaClient) -> None:
    for txid in range(2, MAX_OPEN_FILES + 11):
        write(logged, 0, txid)
    infos = list(logged.ltx_files(0))
    asyncssh_server.log.clear()
    for info in infos:
        assert logged.read_ltx(info, 0, 4) == b"LTX1"
    logged.init()  # answered after the handles were closed
    assert asyncssh_server.log.count("open") == len(infos)
    assert asyncssh_server.log.count("close") == len(infos) - MAX_OPEN_FILES


def test_sixteen_reads_at_once_take_about_one_round_trip(relay: Relay, relayed: SFTPReplicaClient) -> None:
    info = write(relayed, 0, 1)
    relayed.read_ltx(info, 0, 1)
    relay.delay_s = 0.1  # each way
    with ThreadPoolExecutor(16) as pool:
        begin = time.monotonic()
        list(pool.map(lambda start: relayed.read_ltx(info, start, start + 50), range(0, 800, 50)))
        duration_s = time.monotonic() - begin
    assert 0.2 <= duration_s < 0.8  # one after the other they would take 3.2


def test_a_large_file_is_read_and_written_whole(relayed: SFTPReplicaClient) -> None:
    data = ltx_bytes(1, 9, size=9 * 2**20 + 17)
    info = relayed.write_ltx_file(9, TXID(1), TXID(9), WatchedReader(data, lambda _position: None))
    assert info.size == len(data)
    assert relayed.read_ltx(info) == data
    assert relayed.read_ltx(info, 5, 2**23) == data[5 : 2**23]


def test_writes_one_after_the_other_store_the_same(sftp_server: OpenSSHServer, path: str) -> None:
    client = replica_client(sftp_server.url(path), concurrent_writes=False)
    data = ltx_bytes(1, 9, size=2**20 + 17)
    info = write(client, 9, 1, 9, data=data)
    assert (sftp_server.files / path / "ltx/9/0000000000000001-0000000000000009.ltx").read_bytes() == data
    assert list(client.ltx_files(9, use_metadata=True)) == [info]
    client.close()


# What lies beside the files


def test_the_mtime_is_the_headers_time_in_whole_seconds(
    sftp_server: OpenSSHServer, relayed: SFTPReplicaClient, path: str
) -> None:
    write(relayed, 0, 1)
    assert (sftp_server.files / path / "ltx/0" / NAME).stat().st_mtime == TIMESTAMP_MS // 1000
    (info,) = relayed.ltx_files(0)
    assert info.created_at == from_timestamp_ms(TIMESTAMP_MS // 1000 * 1000)


def test_a_file_without_a_header_keeps_the_time_of_the_listing(
    sftp_server: OpenSSHServer, relayed: SFTPReplicaClient, path: str
) -> None:
    write(relayed, 0, 1)
    file = sftp_server.files / path / "ltx/0" / NAME
    file.write_bytes(b"rubbish")
    os.utime(file, (7, 7))
    (info,) = relayed.ltx_files(0, use_metadata=True)
    assert (info.size, info.created_at) == (7, from_timestamp_ms(7000))


def test_an_open_file_stays_readable_when_its_name_is_gone(
    sftp_server: OpenSSHServer, relayed: SFTPReplicaClient, path: str
) -> None:
    info = write(relayed, 0, 1)
    relayed.read_ltx(info, 0, 1)
    (sftp_server.files / path / "ltx/0" / NAME).unlink()
    assert relayed.read_ltx(info) == ltx_bytes(1, 1)
    relayed.delete_ltx_files([info])
    with pytest.raises(LTXMissingError):
        relayed.read_ltx(info)


def test_a_file_that_shrank_is_no_shorter_file(
    sftp_server: OpenSSHServer, relayed: SFTPReplicaClient, path: str
) -> None:
    info = write(relayed, 0, 1)
    relayed.read_ltx(info, 0, 1)
    os.truncate(sftp_server.files / path / "ltx/0" / NAME, 500)
    with pytest.raises(UnavailableError, match=r"expected 1000 bytes at 0, got 500"):
        relayed.read_ltx(info)


@pytest.mark.parametrize("name", ["12345-1.tmp", "77.1795590354435703464.tmp", "tmp"])
def test_what_a_writer_left_is_deleted_when_it_is_old(
    sftp_server: OpenSSHServer, relayed: SFTPReplicaClient, path: str, name: str
) -> None:
    directory = sftp_server.files / path / "ltx/0"
    directory.mkdir(parents=True)
    old, new, other = (directory / f"000000000000000{number}-0000000000000009.ltx.{name}" for number in (1, 2, 3))
    for file in (old, new, other):
        file.write_bytes(b"half")
    long_ago = time.time() - LEFTOVER_AGE_S - 60
    os.utime(old, (long_ago, long_ago))
    os.utime(other, (time.time(), long_ago))  # just about to get its name
    (directory / "notes.tmp").write_bytes(b"")
    os.utime(directory / "notes.tmp", (long_ago, long_ago))
    write(relayed, 0, 1)
    assert not old.exists()
    assert {file.name for file in directory.iterdir()} == {new.name, other.name, "notes.tmp", NAME}
    os.utime(new, (long_ago, long_ago))
    write(relayed, 0, 2)
    assert new.exists()  # a level is looked through once


def test_delete_all_deletes_its_leftovers_and_directories_and_leaves_what_is_not_its_own(
    sftp_server: OpenSSHServer, relayed: SFTPReplicaClient, path: str
) -> None:
    root = sftp_server.files / path
    write(relayed, 0, 1)
    write(relayed, 3, 1)
    (root / "ltx/0" / f"{NAME}.12-34.tmp").write_bytes(b"half")
    (root / "ltx/3/notes").write_bytes(b"mine")
    (root / "other").write_bytes(b"mine")
    relayed.delete_all()
    assert {str(file.relative_to(root)) for file in root.rglob("*")} == {"ltx", "ltx/3", "ltx/3/notes", "other"}


def test_links_and_directories_are_no_files(
    sftp_server: OpenSSHServer, relayed: SFTPReplicaClient, path: str, tmp_path: Path
) -> None:
    write(relayed, 0, 1)
    directory = sftp_server.files / path / "ltx/0"
    (tmp_path / "secret").write_bytes(b"not of the replica")
    (directory / "0000000000000002-0000000000000002.ltx").symlink_to(tmp_path / "secret")
    (directory / "0000000000000003-0000000000000003.ltx").mkdir()
    assert names(relayed, 0) == [(1, 1)]


# Connections


def test_a_lost_connection_is_made_anew_within_the_call(relay: Relay, relayed: SFTPReplicaClient) -> None:
    info = write(relayed, 0, 1)
    for call in (
        lambda: relayed.read_ltx(info, 0, 4),
        lambda: list(relayed.ltx_files(0)),
        lambda: list(relayed.ltx_files(0, use_metadata=True)),
        lambda: write(relayed, 0, 2),
        lambda: relayed.delete_ltx_files([replace(info, min_txid=TXID(2), max_txid=TXID(2))]),
        relayed.init,
    ):
        count = relay.connection_count
        relay.cut()
        call()
        assert relay.connection_count == count + 1
    assert names(relayed, 0) == [(1, 1)]


def test_many_readers_that_find_the_connection_lost_make_one_new_one(relay: Relay, relayed: SFTPReplicaClient) -> None:
    info = write(relayed, 0, 1)
    relay.cut()
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda _: relayed.read_ltx(info, 0, 4), range(16))) == [b"LTX1"] * 16
    assert relay.connection_count == 2


def test_a_connection_cut_in_the_middle_of_an_upload_leaves_no_file(
    sftp_server: OpenSSHServer, relay: Relay, relayed: SFTPReplicaClient, path: str
) -> None:
    data = ltx_bytes(1, 1, size=9 * 2**20)

    def cut_once(position: int) -> None:
        if position > 5 * 2**20 and relay.connection_count == 1:
            relay.cut()

    with pytest.raises(UnavailableError, match="the connection ended before the answer"):
        relayed.write_ltx_file(0, TXID(1), TXID(1), WatchedReader(data, cut_once))
    assert names(relayed, 0) == []
    write(relayed, 0, 1, data=data)
    assert (sftp_server.files / path / "ltx/0" / NAME).read_bytes() == data


def test_a_write_whose_connection_was_cut_is_repeated(sftp_server: OpenSSHServer, relay: Relay, path: str) -> None:
    client = replica_client(sftp_server.url(path, port=relay.port))
    data = ltx_bytes(1, 1, size=9 * 2**20)

    class Reader(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 5 * 2**20 and relay.connection_count == 1:
                relay.cut()
            return super().read(size)

    info = client.write_ltx_file(0, TXID(1), TXID(1), Reader(data))
    assert client.read_ltx(info) == data
    client.close()


def test_a_server_that_falls_silent_is_given_up_in_time_and_taken_up_again(
    sftp_server: OpenSSHServer, relay: Relay, path: str
) -> None:
    client = inner(replica_client(sftp_server.url(path, port=relay.port), timeout_s=3.0))
    info = write(client, 0, 1)
    relay.is_silent = True
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match=r"read .* at sftp://127.0.0.1:[0-9]+: no answer within 3 s"):
        client.read_ltx(info, 0, 4)
    assert time.monotonic() - begin < 6.0
    relay.is_silent = False
    assert client.read_ltx(info, 0, 4) == b"LTX1"
    client.close()


def test_a_server_that_was_restarted_is_found_again(tmp_path: Path) -> None:
    with OpenSSHServer(tmp_path) as server, Relay(server.port) as relay:
        client = inner(replica_client(server.url("app", port=relay.port), timeout_s=5.0))
        info = write(client, 0, 1)
        server.stop()
        relay.cut()
        with pytest.raises(UnavailableError):
            client.read_ltx(info)
        server.start()
        assert client.read_ltx(info) == ltx_bytes(1, 1)
        client.close()


def test_a_server_that_is_down_is_unavailable(sftp_server: OpenSSHServer) -> None:
    client = replica_client(sftp_server.url("app", port=1))
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match=r"at sftp://127.0.0.1:1: cannot connect \(connection refused\)"):
        client.init()
    assert time.monotonic() - begin < 10.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_connection_of_its_own(relay: Relay, relayed: SFTPReplicaClient) -> None:
    info = write(relayed, 0, 1)
    assert relayed.read_ltx(info, 0, 4) == b"LTX1"
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if relayed.read_ltx(info, 0, 4) == b"LTX1" and "open" in repr(relayed) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert relay.connection_count == 2
    assert relayed.read_ltx(info, 4, 8) == ltx_bytes(1, 1)[4:8]
    assert relay.connection_count == 2
