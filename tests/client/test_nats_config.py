"""The settings of a NATS replica, from its URL, options and litestream.yml."""

import json
from pathlib import Path

import pytest

from litestream.config import parse_config
from replication.client.kept_files import DEFAULT_KEEP_SIZE
from replication.client.nats import NatsReplicaClient
from replication.client.nats_config import NatsConfig, NatsCredentials, nats_config
from replication.client.retry import RetryingClient
from replication.client.url_parse import parse_replica_url
from replication.errors import UsageError
from tests.support.nats_server import nats_client

SECRET = "s3cr3t"  # noqa: S105 - of no server


def config(url: str, **options: object) -> NatsConfig:
    return nats_config(parse_replica_url(url), options)


def test_a_url_names_the_server_and_the_bucket() -> None:
    assert config("nats://host/bucket") == NatsConfig(host="host:4222", bucket="bucket")
    assert config("nats://host:1/b-1_B/").host == "host:1"
    assert config("nats://[::1]/bucket").host == "[::1]:4222"
    assert config("nats://[::1]:1/bucket").host == "[::1]:1"
    assert config("nats:///bucket").host == "127.0.0.1:4222"


@pytest.mark.parametrize("url", ["nats://host", "nats://host/", "nats://host/a/b", "nats://host/a.b", "nats://h/a%20b"])
def test_a_url_without_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"expected nats://host:4222/bucket, with a bucket of letters"):
        config(url)


@pytest.mark.parametrize(
    ("user", "options", "expected"),
    [
        ("", {}, NatsCredentials()),
        ("u:p%40@", {}, NatsCredentials(username="u", password="p@")),  # noqa: S106 - of no server
        ("t@", {}, NatsCredentials(token="t")),  # noqa: S106 - of no server
        ("", {"username": "u", "password": "p"}, NatsCredentials(username="u", password="p")),  # noqa: S106
        ("u:p@", {"username": "v", "password": "q"}, NatsCredentials(username="u", password="p")),  # noqa: S106
        ("", {"username": "u", "password": "p", "token": "t"}, NatsCredentials(username="u", password="p")),  # noqa: S106
        ("", {"token": "t"}, NatsCredentials(token="t")),  # noqa: S106
        ("u:p@", {"seed": "SU1"}, NatsCredentials(seed="SU1")),
        ("u:p@", {"nkey": "SU1"}, NatsCredentials(seed="SU1")),
        ("", {"nkey": "U1", "seed": "SU1"}, NatsCredentials(seed="SU1")),
        ("u:p@", {"jwt": "j", "seed": "SU1", "creds": __file__}, NatsCredentials(jwt="j", seed="SU1")),
        ("u:p@", {"seed": "SU1", "creds": __file__}, NatsCredentials(creds=__file__)),
    ],
)
def test_of_several_credentials_the_strongest_count(
    user: str, options: dict[str, str], expected: NatsCredentials
) -> None:
    assert config(f"nats://{user}host/bucket", **options).credentials == expected


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"jwt": SECRET}, "expected a jwt and its seed, got only the jwt"),
        ({"nkey": "U" + SECRET}, "expected an nkey and its seed, got only the nkey"),
        ({"username": SECRET}, "expected a username and a password, got only the username"),
        ({"password": SECRET}, "expected a username and a password, got only the password"),
        ({"creds": "/no/where"}, "cannot read creds '/no/where': No such file or directory"),
        ({"root_cas": "/no/where"}, "cannot read root_cas '/no/where': No such file"),
        ({"root_cas": [__file__, "/no/where"]}, "cannot read root_cas '/no/where': No such file"),
        ({"root_cas": 5}, "expected the path of a file, or a list of such as root_cas, got 'int'"),
        ({"root_cas": [5]}, "expected the path of a file, or a list of such as root_cas"),
        ({"client_cert": __file__}, "expected client_cert and client_key, got only client_cert"),
        ({"client_key": __file__}, "expected client_cert and client_key, got only client_key"),
        ({"tls": False, "root_cas": __file__}, "tls is off, so root_cas"),
        ({"tls": "maybe"}, "expected true or false as tls"),
        ({"keep_size": "1k"}, "expected a size of at least 1048576 bytes"),
        ({"connect_timeout_s": 0}, "expected a number of seconds above 0 as connect_timeout_s"),
        ({"tsl": True}, "unknown option of a NATS replica 'tsl'; did you mean tls?"),
    ],
)
def test_wrong_settings_are_refused_without_showing_secrets(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text.replace("?", r"\?")) as raised:
        config("nats://host/bucket", **options)
    assert SECRET not in str(raised.value)


def test_settings_are_taken_from_the_url_and_options() -> None:
    made = config(f"nats://h/b?tls=true&rootCas={__file__}&keepSize=8MiB", timeout_s=3, reconnect_wait_s=0.5)
    assert (made.tls, made.root_cas, made.keep_size) == (True, (__file__,), 8 * 2**20)
    assert (made.timeout_s, made.reconnect_wait_s) == (3.0, 0.5)
    assert config("nats://h/b").keep_size == DEFAULT_KEEP_SIZE
    assert config("nats://h/b", client_cert=__file__, client_key=__file__).tls
    with pytest.raises(UsageError, match="unknown parameter of the URL of a NATS replica 'password'"):
        config(f"nats://h/b?password={SECRET}")


def test_no_secret_is_shown() -> None:
    options = {"jwt": SECRET, "seed": SECRET}
    assert SECRET not in repr(config("nats://h/b", **options)) + repr(nats_client("nats://h/b", **options))
    assert SECRET not in repr(nats_client(f"nats://user:{SECRET}@h/b"))
    assert repr(nats_client("nats://h/b")) == "<NatsReplicaClient nats://h:4222/b kept=0 idle>"


@pytest.mark.parametrize(
    ("replica", "expected"),
    [
        ({"url": "nats://u:p@h:1/b"}, NatsConfig(host="h:1", bucket="b", credentials=NatsCredentials(username="u", password="p"))),  # noqa: E501, S106
        ({"url": "nats://h:1", "bucket": "b"}, NatsConfig(host="h:1", bucket="b")),
        ({"type": "nats", "bucket": "b"}, NatsConfig(host="127.0.0.1:4222", bucket="b")),
        (
            {
                "url": "nats://h/b", "jwt": "j", "seed": "s", "tls": True, "root-cas": [__file__],
                "client-cert": __file__, "client-key": __file__, "reconnect-wait": "1m", "timeout": "1500ms",
                "max-reconnects": "-1",
            },
            NatsConfig(
                host="h:4222", bucket="b", credentials=NatsCredentials(jwt="j", seed="s"), tls=True,
                root_cas=(__file__,), client_cert=__file__, client_key=__file__,
                reconnect_wait_s=60.0, connect_timeout_s=1.5,
            ),
        ),
        ({"url": "nats://h/b", "root-cas": __file__, "token": "t"}, NatsConfig(host="h:4222", bucket="b", tls=True, root_cas=(__file__,), credentials=NatsCredentials(token="t"))),  # noqa: E501, S106
    ],
)  # fmt: skip
def test_a_configuration_file_is_read_as_the_go_program_reads_it(
    tmp_path: Path, replica: dict[str, object], expected: NatsConfig
) -> None:
    text = json.dumps({"dbs": [{"path": str(tmp_path / "app.db"), "replica": replica}]})
    (database,) = parse_config(text, environ={}).databases()
    (found,) = database.replicas
    client = found.client()
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, NatsReplicaClient)
    assert client.inner.config == expected
    assert found.described() == {"host": found.url.host, "bucket": "b"}
