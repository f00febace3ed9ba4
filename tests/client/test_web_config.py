"""WebDAV and HTTP: where settings and credentials come from, which goes first, what is refused, and litestream.yml."""

import pytest

from replication.client.url import replica_client
from replication.client.url_parse import parse_replica_url
from replication.client.web_config import WebConfig, http_config, webdav_config
from replication.errors import UsageError
from tests.cli.parsing import fail, only_replica

DB = "dbs:\n- path: /srv/app.db\n"


def config(url: str, **options: object) -> WebConfig:
    parsed = parse_replica_url(url)
    return (http_config if parsed.scheme.startswith("http") else webdav_config)(parsed, options)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("webdav://host/base/path", "http://host/base/path"),
        ("webdavs://host:8443/base//path/", "https://host:8443/base/path"),
        ("http://host:80/a%20b%25", "http://host:80/a%20b%25"),
        ("https://user:pass@[::1]:8443", "https://[::1]:8443/"),
        ("https://host/a/./../b+c~d@e", "https://host/b+c~d@e"),
    ],
)
def test_a_url_names_scheme_host_port_and_path(url: str, expected: str) -> None:
    got = config(url)
    assert got.url(got.path) == expected


def test_options_go_before_the_url_and_a_token_needs_no_user() -> None:
    assert config("webdav://host/p").auth is None
    assert config("webdav://us%40er:p%3Aa%2Fss@host/p").auth == ("us@er", "p:a/ss")
    assert config("webdav://user:pass@host/p", username="other", password="word").auth == ("other", "word")  # noqa: S106
    assert config("http://user@host/p", password="word").auth == ("user", "word")  # noqa: S106
    assert config("http://host/p", token="abc").token == "abc"  # noqa: S105, S106
    assert config("https://host/p?skipVerify=true").skip_verify
    assert config("webdavs://host/p?skip-verify=1", skip_verify=False).skip_verify is False
    assert config("http://host/p", timeout_s=2).timeout_s == 2.0


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("webdav:///p", {}, "without a host"),
        ("webdav://host/p?timeout=3", {}, "unknown parameter of the URL of a WebDAV replica 'timeout'"),
        ("https://host/p?sv=2021&sig=secret-words", {}, "unknown parameter of the URL of an HTTP replica"),
        ("webdav://host/p", {"token": "secret-words"}, "unknown option of a WebDAV replica 'token'"),
        ("http://host/p", {"tokn": "x"}, "did you mean token?"),
        ("http://user@host/p", {"token": "secret-words"}, "exclude each other"),
        ("http://host/p", {"token": "secret-words\nand more"}, "a token of ASCII"),
        ("http://host/p", {"password": "secret-words"}, "only the password"),
        ("webdav://us%3Aer:secret-words@host/p", {}, "without a colon"),
    ],
)
def test_what_cannot_be_is_refused_without_showing_secrets(url: str, options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        replica_client(url, **options)
    assert text in str(caught.value)
    assert "secret-words" not in str(caught.value)


def test_no_secret_is_shown() -> None:
    url = "://user:secret-words@host/p"
    for each in (config(f"webdav{url}"), config(f"https{url}"), config("http://h/p", token="secret-words")):  # noqa: S106
        assert "secret-words" not in repr(each)
    assert repr(replica_client(f"webdav{url}")) == "<RetryingClient of <WebDAVReplicaClient http://host/p>>"
    assert repr(replica_client(f"https{url}")) == "<RetryingClient of <HTTPReplicaClient https://host/p>>"


def test_the_configuration_file_names_the_server_and_the_path() -> None:
    section = (
        "  replica: {type: webdav, path: /backups/app, webdav-url: 'https://host:8443/remote.php/dav/', "
        "webdav-username: user, webdav-password: secret-words}\n"
    )
    replica = only_replica(DB + section)
    assert "WebDAVReplicaClient https://host:8443/remote.php/dav/backups/app>" in repr(replica.client())
    assert replica.described() == {"host": "host:8443", "path": "remote.php/dav/backups/app"}
    assert replica.options == {"username": "user", "password": "secret-words"}
    assert "secret-words" not in repr(replica)


def test_the_configuration_file_takes_a_url_and_what_stands_at_its_top() -> None:
    replica = only_replica(DB + "  replica: {url: 'webdav://user:pass@host/app', webdav-username: other}\n")
    assert config_of(replica.client()).auth == ("other", "pass")
    top = "webdav-url: http://user:pass@host/\nwebdav-password: word\n"
    replica = only_replica(top + DB + "  replica: {type: webdav, path: app}\n")
    assert config_of(replica.client()).auth == ("user", "word")
    assert "http://host/app" in repr(replica.client())


def config_of(client: object) -> WebConfig:
    found = client.inner.config  # type: ignore[attr-defined]
    assert isinstance(found, WebConfig)
    return found


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("{type: webdav, path: p}", "the webdav-url of a webdav replica"),
        ("{type: webdav, path: p, webdav-url: 'webdav://host'}", "a URL like https://host/path"),
        ("{type: webdav, path: p, webdav-url: 'https://host/?a=b'}", "a URL like https://host/path"),
        ("{type: webdav, path: p, webdav-url: host}", "expected a replica URL"),
        ("{url: 'webdav://host/p', webdav-url: 'https://host'}", "has its webdav-url in there"),
        ("{url: 'https://host/p'}", "use webdavs://"),
        ("{url: 'http://host/p'}", "use webdav://"),
    ],
)
def test_what_the_configuration_file_cannot_say_is_refused(section: str, text: str) -> None:
    assert text in fail(f"{DB}  replica: {section}\n")
