"""SFTP: what a URL, options and a configuration file say, what is refused, and that secrets are not shown."""

import getpass
from pathlib import Path

import pytest

from replication.client.sftp_config import SFTPConfig, sftp_config
from replication.client.url import replica_client
from replication.client.url_parse import parse_replica_url
from replication.errors import UsageError
from tests.cli.parsing import fail, only_replica

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBx2dq9cKQ0Jkq1w"
DB = "dbs:\n- path: /srv/app.db\n"


def config(url: str, **options: object) -> SFTPConfig:
    return sftp_config(parse_replica_url(url), options)


@pytest.mark.parametrize(
    ("url", "host", "port", "server"),
    [
        ("sftp://h/p", "h", 22, "sftp://h"),
        ("sftp://u@h:2222/p", "h", 2222, "sftp://h:2222"),
        ("sftp://u:x@10.0.0.1:22/p", "10.0.0.1", 22, "sftp://10.0.0.1"),
        ("sftp://[::1]/p", "::1", 22, "sftp://[::1]"),
        ("sftp://[fe80::1]:2222/p", "fe80::1", 2222, "sftp://[fe80::1]:2222"),
    ],
)
def test_a_url_names_host_and_port(url: str, host: str, port: int, server: str) -> None:
    got = config(url)
    assert (got.host, got.port, got.server) == (host, port, server)


@pytest.mark.parametrize(
    ("url", "path", "place"),
    [
        ("sftp://h/srv/app", "/srv/app", "sftp://h/srv/app"),
        ("sftp://h//srv//app/", "/srv/app", "sftp://h/srv/app"),
        ("sftp://h/~/backup/app", "backup/app", "sftp://h/~/backup/app"),
        ("sftp://h/~", "", "sftp://h/~/"),
        ("sftp://h/~app", "/~app", "sftp://h/~app"),
        ("sftp://h/~/../etc", "/etc", "sftp://h/etc"),
        ("sftp://h", "/", "sftp://h/"),
    ],
)
def test_the_path_of_a_url_is_absolute_unless_it_begins_in_the_home_directory(url: str, path: str, place: str) -> None:
    got = config(url)
    assert (got.path, got.place) == (path, place)


def test_user_and_password_come_from_the_url_then_from_options() -> None:
    assert (config("sftp://u:p%40ss@h/p").user, config("sftp://u:p%40ss@h/p").password) == ("u", "p@ss")
    got = config("sftp://h/p", user="o", password=" spaces ", passphrase="words", timeout_s=2)  # noqa: S106 - no secret
    assert (got.user, got.password, got.passphrase, got.timeout_s) == ("o", " spaces ", "words", 2.0)
    assert config("sftp://u@h/p", user="o").user == "u"
    assert config("sftp://h/p").user == getpass.getuser()


def test_parameters_have_both_spellings() -> None:
    got = config("sftp://h/p?keyPath=/k&host-key=ssh-ed25519%20AAAA&concurrent-writes=false")
    assert (got.key_path, got.host_key, got.concurrent_writes) == ("/k", "ssh-ed25519 AAAA", False)
    assert config("sftp://h/p?knownHosts=~/k").known_hosts == str(Path("~/k").expanduser())
    assert config("sftp://h/p?insecureIgnoreHostKey=true").insecure_ignore_host_key
    assert config("sftp://h/p").concurrent_writes


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("sftp:///p", {}, "sftp://user@host:22/path"),
        ("sftp://h:0/p", {}, "'h:0'"),
        ("sftp://h/p?keyPth=x", {}, "did you mean keyPath?"),
        ("sftp://h/p", {"pasword": "x"}, "did you mean password?"),
        ("sftp://h/p", {"password": b"secret-words"}, "expected a text as password, got 'bytes'"),
        ("sftp://h/p?insecureIgnoreHostKey=maybe", {}, "expected true or false"),
        ("sftp://h/p?insecureIgnoreHostKey=1&hostKey=k", {}, "exclude each other"),
        ("sftp://h/p?knownHosts=f&hostKey=k", {}, "exclude each other"),
        ("sftp://h/p", {"timeout_s": 0}, "a number of seconds above 0"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(url: str, options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        config(url, **options)
    assert text in str(caught.value)
    assert "secret-words" not in str(caught.value)


def test_a_process_without_a_login_name_has_to_name_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", fail)
    with pytest.raises(UsageError, match="sftp://user@host/path"):
        config("sftp://h/p")
    assert config("sftp://u@h/p").user == "u"


def test_secrets_are_not_shown() -> None:
    options = {"password": "secret-words", "passphrase": "other-words"}
    client = replica_client("sftp://u@h/p", **options)
    for text in (repr(client), repr(config("sftp://u:secret-words@h/p", passphrase="other-words"))):  # noqa: S106 - no secret
        assert "secret-words" not in text
        assert "other-words" not in text
    assert repr(client) == "<RetryingClient of <SFTPReplicaClient sftp://h/p user=u idle>>"


def test_a_configuration_file_says_the_same() -> None:
    text = f"{DB}  replica: {{type: sftp, host: 'h:2222', user: u, password: secret-words, path: backup/app"
    replica = only_replica(f"{text}, key-path: ~/key, host-key: {KEY}, concurrent-writes: false}}")
    assert replica.described() == {"host": "h:2222", "path": "~/backup/app"}
    assert "secret-words" not in repr(replica)
    got = sftp_config(replica.url, replica.options)
    assert got == SFTPConfig(
        host="h",
        port=2222,
        user="u",
        path="backup/app",
        password="secret-words",  # noqa: S106 - no secret
        key_path=str(Path("~/key").expanduser()),
        host_key=KEY,
        concurrent_writes=False,
    )
    assert replica.client().type == "sftp"


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ("type: sftp, host: h, user: u, path: /srv/app/", "sftp://h/srv/app"),
        ("type: sftp, host: h, user: u, path: a//b", "sftp://h/~/a/b"),
        ("type: sftp, host: h, user: u", "sftp://h/~/"),
        ("url: 'sftp://u@h/srv/app'", "sftp://h/srv/app"),
    ],
)
def test_a_path_in_a_configuration_file_is_relative_unless_it_begins_with_a_slash(settings: str, place: str) -> None:
    replica = only_replica(f"{DB}  replica: {{{settings}}}")
    assert sftp_config(replica.url, replica.options).place == place
    below = replica.below("tenant.db")
    assert sftp_config(below.url, below.options).place == f"{place.removesuffix('/')}/tenant.db"


def test_what_a_replica_does_not_say_stands_at_the_top_of_the_file() -> None:
    replica = only_replica(f"host: top\nuser: u\nkey-path: /k\n{DB}  replica: {{type: sftp, path: p}}")
    got = sftp_config(replica.url, replica.options)
    assert (got.host, got.user, got.key_path) == ("top", "u", "/k")


def test_a_configuration_without_a_host_is_refused() -> None:
    assert "expected the host of an sftp replica, or its url" in fail(f"{DB}  replica: {{type: sftp, path: p}}")
    assert "has its host in there" in fail(f"{DB}  replica: {{url: 'sftp://h/p', host: h}}")
