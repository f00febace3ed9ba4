"""SFTP: host keys that are not trusted, credentials that are not accepted, what the user may not do; and no secrets.

Bugs planted to see it fail: known hosts not looked at, the password in a message, keys of the agent offered beside a
password, a refused listing taken for an empty one.
"""

import logging
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

import litestream
from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from replication.errors import DeniedError, LTXMissingError, UnavailableError, UsageError
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.client.ltx_bytes import ltx_bytes, names, write
from tests.support.sftp_server import PASSWORD, USER, AsyncSSHServer, LoggedFiles, OpenSSHServer, make_key

FILE = FileInfo(level=0, min_txid=TXID(1), max_txid=TXID(1))


class LockedFiles(LoggedFiles):
    """Refuses whatever is below a directory called `locked`, and fails below one called `full`."""

    def map_path(self, path: bytes) -> bytes:
        if b"locked" in path.split(b"/"):
            msg = "as the test asked"
            raise asyncssh.SFTPPermissionDenied(msg)
        if b"full" in path.split(b"/"):
            msg = "no space left\x1b[31m" + "!" * 1000
            raise asyncssh.SFTPFailure(msg)
        return super().map_path(path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsyncSSHServer]:
    with AsyncSSHServer(tmp_path_factory.mktemp("locked"), LockedFiles) as server:
        yield server


@pytest.fixture
def make() -> Iterator[Callable[..., ReplicaClient]]:
    """Make clients that do not retry, and close them in the end."""
    clients: list[ReplicaClient] = []

    def make(url: str, **options: object) -> ReplicaClient:
        client = replica_client(url, **options)
        assert isinstance(client, RetryingClient)
        clients.append(client.inner)
        return client.inner

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, without an agent."""
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def refused(client: ReplicaClient) -> str:
    with pytest.raises(DeniedError) as caught:
        client.init()
    return str(caught.value)


# Host keys


def test_an_unknown_host_key_is_refused_and_the_message_says_how_to_allow_it(
    sftp_server: OpenSSHServer, home: Path, make: Callable[..., ReplicaClient]
) -> None:
    message = refused(make(sftp_server.url_with("p", keyPath=str(sftp_server.key_path))))
    key = asyncssh.import_public_key(sftp_server.host_key)
    assert f"the host key ssh-ed25519 {key.get_fingerprint()} of sftp://127.0.0.1:{sftp_server.port} is not" in message
    for text in ("~/.ssh/known_hosts", f"ssh-keyscan -p {sftp_server.port} 127.0.0.1", "insecureIgnoreHostKey=true"):
        assert text in message
    (home / ".ssh/known_hosts").write_text(sftp_server.known_hosts_line)
    make(sftp_server.url_with("p", keyPath=str(sftp_server.key_path))).init()


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_host_key_that_has_changed_is_refused(
    sftp_server: OpenSSHServer, tmp_path: Path, make: Callable[..., ReplicaClient], algorithm: str
) -> None:
    other = make_key(tmp_path / "other", algorithm).with_suffix(".pub").read_text()
    known_hosts = tmp_path / "known"
    known_hosts.write_text(f"[127.0.0.1]:{sftp_server.port} {other}")
    url = sftp_server.url_with("p", keyPath=str(sftp_server.key_path), knownHosts=str(known_hosts))
    message = refused(make(url))
    assert "is not the one in" in message
    assert "it has changed, or this is another server" in message
    assert str(known_hosts) in message
    url = sftp_server.url_with("p", keyPath=str(sftp_server.key_path), hostKey=other.strip())
    assert "is not the host_key that was given" in refused(make(url))


def test_a_host_key_that_stands_in_the_known_hosts_that_were_named_is_taken(
    sftp_server: OpenSSHServer, tmp_path: Path, make: Callable[..., ReplicaClient]
) -> None:
    known_hosts = tmp_path / "known"
    known_hosts.write_text("# comment\n\nother.example " + sftp_server.host_key + "\n" + sftp_server.known_hosts_line)
    make(sftp_server.url_with("p", keyPath=str(sftp_server.key_path), knownHosts=str(known_hosts))).init()


def test_a_revoked_host_key_is_refused(
    sftp_server: OpenSSHServer, tmp_path: Path, make: Callable[..., ReplicaClient]
) -> None:
    known_hosts = tmp_path / "known"
    known_hosts.write_text(sftp_server.known_hosts_line + "@revoked " + sftp_server.known_hosts_line)
    url = sftp_server.url_with("p", keyPath=str(sftp_server.key_path), knownHosts=str(known_hosts))
    assert "host key" in refused(make(url))


def test_any_host_key_is_taken_where_that_is_asked_for_by_name_and_the_log_tells(
    sftp_server: OpenSSHServer, home: Path, make: Callable[..., ReplicaClient], caplog: pytest.LogCaptureFixture
) -> None:
    assert home
    make(sftp_server.url_with("p", keyPath=str(sftp_server.key_path), insecureIgnoreHostKey="true")).init()
    (record,) = [record for record in caplog.records if record.name.startswith("litestream")]
    assert record.levelno == logging.WARNING
    assert "is not checked" in record.getMessage()


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"hostKey": "rubbish"}, "expected in host_key lines such as"),
        ({"knownHosts": "BROKEN"}, "expected in BROKEN lines such as"),
        ({"knownHosts": "/no/such/file"}, "cannot read the known hosts in /no/such/file"),
        ({"hostKey": "x", "keyPath": "/no/such/key"}, "expected in host_key"),
    ],
)
def test_host_keys_that_cannot_be_read_are_a_usage_error(
    sftp_server: OpenSSHServer, tmp_path: Path, make: Callable[..., ReplicaClient], query: dict[str, Any], text: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"127.0.0.1 ssh-ed25519 \xff\n")
    query = {name: value.replace("BROKEN", str(broken)) for name, value in query.items()}
    with pytest.raises(UsageError) as caught:
        make(sftp_server.url_with("p", **query)).init()
    assert text.replace("BROKEN", str(broken)) in str(caught.value)


# Credentials


def test_a_wrong_password_is_refused_and_not_shown(
    server: AsyncSSHServer, make: Callable[..., ReplicaClient], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = make(server.url("p", password="wrong words"))  # noqa: S106 - that is the test
    with pytest.raises(DeniedError) as caught:
        client.init()
    assert str(caught.value).endswith("the server does not accept the password for the user tester")
    shown = "".join(traceback.format_exception(caught.value)) + repr(client) + repr(vars(client)) + caplog.text
    assert "wrong words" not in shown
    make(server.url("p")).init()
    assert PASSWORD not in caplog.text


def test_a_password_can_be_an_option(server: AsyncSSHServer, make: Callable[..., ReplicaClient]) -> None:
    url = f"sftp://127.0.0.1:{server.port}/p"
    make(url, user="tester", password=PASSWORD, host_key=server.host_key).init()


def test_with_a_password_no_keys_are_offered(
    sftp_server: OpenSSHServer, home: Path, make: Callable[..., ReplicaClient]
) -> None:
    (home / ".ssh/id_ed25519").write_bytes(sftp_server.key_path.read_bytes())
    url = sftp_server.url_with("p", hostKey=sftp_server.host_key)
    make(url).init()  # by the key in the home directory
    assert "the password" in refused(make(url, password="x"))  # noqa: S106 - a wrong one


def test_a_key_the_server_does_not_know_is_refused(
    sftp_server: OpenSSHServer, tmp_path: Path, home: Path, make: Callable[..., ReplicaClient]
) -> None:
    key = make_key(tmp_path / "key")
    message = refused(make(sftp_server.url_with("p", hostKey=sftp_server.host_key, keyPath=str(key))))
    assert f"does not accept the key {key} for the user {USER}" in message
    assert not list((home / ".ssh").iterdir())
    message = refused(make(sftp_server.url_with("p", hostKey=sftp_server.host_key)))
    assert "does not accept any key of the agent or in ~/.ssh" in message


def test_an_agent_that_does_not_answer_is_no_other_error(
    sftp_server: OpenSSHServer, home: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., ReplicaClient]
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home / "nobody"))
    message = refused(make(sftp_server.url_with("p", hostKey=sftp_server.host_key)))
    assert "does not accept any key of the agent or in ~/.ssh" in message


def test_an_encrypted_key_needs_its_passphrase(
    sftp_server: OpenSSHServer, tmp_path: Path, make: Callable[..., ReplicaClient]
) -> None:
    key = tmp_path / "key"
    asyncssh.read_private_key(str(sftp_server.key_path)).write_private_key(key, passphrase="open sesame")  # noqa: S106
    url = sftp_server.url_with("p", hostKey=sftp_server.host_key, keyPath=str(key))
    with pytest.raises(UsageError, match="it is encrypted; give the option passphrase, or use an agent"):
        make(url).init()
    with pytest.raises(UsageError, match="it needs another passphrase") as caught:
        make(url, passphrase="closed").init()  # noqa: S106 - a wrong one
    assert "closed" not in str(caught.value) + str(caught.value.__cause__)
    make(url, passphrase="open sesame").init()  # noqa: S106 - that of the test


@pytest.mark.parametrize(("content", "text"), [(None, "cannot read key_path"), (b"rubbish", "holds no private key")])
def test_a_key_that_cannot_be_read_is_a_usage_error(
    sftp_server: OpenSSHServer, tmp_path: Path, make: Callable[..., ReplicaClient], content: bytes | None, text: str
) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
    with pytest.raises(UsageError, match=text):
        make(sftp_server.url_with("p", hostKey=sftp_server.host_key, keyPath=str(key))).init()


# What the user may not do


def test_a_directory_without_permission_is_denied_and_not_empty(
    server: AsyncSSHServer, make: Callable[..., ReplicaClient]
) -> None:
    client = make(server.url("locked"))
    for call in (
        client.init,
        lambda: names(client, 0),
        lambda: client.read_ltx(FILE),
        lambda: client.open_ltx_file(0, TXID(1), TXID(1)),
        lambda: write(client, 0, 1),
        lambda: client.delete_ltx_files([FILE]),
        client.delete_all,
    ):
        with pytest.raises(DeniedError, match=r"locked.*: the user has no permission"):
            call()


def test_a_server_that_fails_is_unavailable_and_its_reason_shown(
    server: AsyncSSHServer, make: Callable[..., ReplicaClient]
) -> None:
    with pytest.raises(UnavailableError, match=r"full/ltx/0 at sftp://.*: the server failed \(no space left"):
        write(make(server.url("full")), 0, 1)


def test_a_reader_needs_no_right_to_write(tmp_path: Path, make: Callable[..., ReplicaClient]) -> None:
    with OpenSSHServer(tmp_path, subsystem="sftp", flags="-R") as server:
        directory = server.files / "app/ltx/0"
        directory.mkdir(parents=True)
        (directory / "0000000000000001-0000000000000001.ltx").write_bytes(ltx_bytes(1, 1))
        client = make(server.url("app"))
        client.init()
        (info,) = client.ltx_files(0, use_metadata=True)
        assert client.read_ltx(info) == ltx_bytes(1, 1)
        for call in (
            lambda: write(client, 0, 2),
            lambda: write(client, 1, 2),
            lambda: client.delete_ltx_files([info]),
        ):
            with pytest.raises(DeniedError, match="the user has no permission"):
                call()


def test_a_path_that_is_a_file_is_a_usage_error(sftp_server: OpenSSHServer, make: Callable[..., ReplicaClient]) -> None:
    (sftp_server.files / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"expected a directory for an SFTP replica, got the file sftp://.*/~/file"):
        make(sftp_server.url("file")).init()


def test_a_server_without_sftp_is_named(tmp_path: Path, make: Callable[..., ReplicaClient]) -> None:
    with OpenSSHServer(tmp_path, subsystem="other") as server:
        assert "the server gives this user no SFTP session" in refused(make(server.url("p")))


def test_a_library_that_is_not_installed_is_named() -> None:
    code = (
        "import sys; sys.modules['asyncssh'] = None\n"
        "import litestream; print(litestream.SFTPReplicaClient.type)\n"
        "try:\n    litestream.replica_client('sftp://host/path')\n"
        "except litestream.UsageError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "sftp",
        "replicas at sftp:// need one more library: pip install apsw-litestream[sftp]",
    ]


# The whole way


def test_a_replica_written_by_replicate_is_read_in_place(sftp_server: OpenSSHServer, tmp_path: Path) -> None:
    import apsw

    url = sftp_server.url("whole/way")
    primary = apsw.Connection(str(tmp_path / "app.db"))
    primary.execute("PRAGMA journal_mode = wal; CREATE TABLE t (x)").fetchall()
    with litestream.replicate(primary, url) as store:
        primary.execute(
            "WITH n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 5000) INSERT INTO t SELECT * FROM n"
        )
        txid = store.sync().txid
        replica = litestream.connect(url)
        assert replica.execute("SELECT count(*), sum(x) FROM t").fetchone() == (5000, 12_502_500)
        primary.execute("DELETE FROM t WHERE x > 10")
        assert store.sync().txid > txid
        replica.pragma("litestream_poll")
        assert replica.execute("SELECT count(*) FROM t").fetchone() == (10,)
        replica.pragma("litestream_txid", f"{txid:x}")
        assert replica.execute("SELECT count(*) FROM t").fetchone() == (5000,)
        replica.close()
    primary.close()
    litestream.restore(url, tmp_path / "restored.db", integrity_check="full")


def test_a_replica_that_is_missing_is_an_error_at_once(sftp_server: OpenSSHServer) -> None:
    with pytest.raises(Exception, match="nobody/wrote/this"):
        litestream.connect(sftp_server.url("nobody/wrote/this")).execute("SELECT 1 FROM t").fetchall()
    with pytest.raises(LTXMissingError):
        replica_client(sftp_server.url("nobody/wrote/this")).read_ltx(FILE)
