"""Azure: where settings and credentials come from, which goes first, what is refused, and how an identity signs in."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest
from obstore.exceptions import GenericError

from replication.client.azure_bucket import AzureBucket
from replication.client.azure_config import AzureConfig, azure_config
from replication.client.azure_traits import AZURE_CODES
from replication.client.base import ReplicaClient
from replication.client.object_errors import failure_error, read_failure
from replication.client.url import replica_client
from replication.client.url_parse import parse_replica_url
from replication.errors import DeniedError, UnavailableError, UsageError
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.cli.parsing import fail, only_replica
from tests.support.azure_server import AzureServer
from tests.support.faulty_proxy import FaultyProxy
from tests.support.s3_server import S3Server

FILE = FileInfo(level=0, min_txid=TXID(1), max_txid=TXID(1))
KEY = "a2V5IG9mIHRoZSB0ZXN0cw=="
TOKEN = "sv=2021-08-06&sp=rl&sig=abc%2Fdef%3D"  # noqa: S105 - nobody checks it
_numbers = itertools.count(1)
DB = "dbs:\n- path: /srv/app.db\n"


def config(url: str, environ: dict[str, str] | None = None, **options: object) -> AzureConfig:
    return azure_config(parse_replica_url(url), options, environ or {})


def test_a_url_names_account_container_and_path() -> None:
    got = config("abs://account@container/app/db")
    assert (got.account_name, got.container, got.path) == ("account", "container", "app/db")
    assert got.endpoint == "https://account.blob.core.windows.net"
    assert config("abs://account@container?endpoint=127.0.0.1:10000/account/").endpoint == (
        "http://127.0.0.1:10000/account"
    )
    assert config("abs://container/p", account_name="a", timeout_s=2).timeout_s == 2.0


def test_what_is_said_goes_before_the_environment_and_a_token_before_a_key() -> None:
    environ = {
        "AZURE_STORAGE_ACCOUNT_NAME": "theirs",
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        "LITESTREAM_AZURE_SAS_TOKEN": TOKEN,
    }
    cases = [
        (config("abs://c/p", environ), ("theirs", "", TOKEN)),
        (config("abs://mine@c/p", environ), ("mine", "", TOKEN)),
        (config("abs://mine:bWluZQ%3D%3D@c/p", environ), ("mine", "bWluZQ==", "")),
        (config("abs://c/p", environ, account_key="bWluZQ=="), ("theirs", "bWluZQ==", "")),
        (config("abs://c/p", environ, account_key=KEY, sas_token="?sig=x"), ("theirs", "", "sig=x")),  # noqa: S106
        (config("abs://a@c/p", {"LITESTREAM_AZURE_ACCOUNT_KEY": KEY}), ("a", KEY, "")),
        (config("abs://a@c/p"), ("a", "", "")),
    ]
    for got, expected in cases:
        assert (got.account_name, got.account_key, got.sas_token) == expected


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("abs://container/p", {}, "abs://account@container/path"),
        ("abs:///p", {}, "without a container"),
        ("abs://a@c/p?endpiont=x", {}, "did you mean endpoint?"),
        ("abs://a@c/p", {"sas": "x"}, "unknown option of an Azure replica"),
        ("abs://a@c/p", {"account_key": "not/a key"}, "an account key in base64"),
        ("abs://a@c/p", {"sas_token": "secret-words"}, "a SAS token like"),
        ("abs://a@c/p", {"endpoint": "https://a.blob.core.windows.net?sig=secret-words"}, "a user or a query"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(url: str, options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as raised:
        config(url, None, **options)
    assert text in str(raised.value)
    assert "secret-words" not in str(raised.value)
    assert "not/a key" not in str(raised.value)


def test_the_repr_shows_no_secret() -> None:
    for options in ({"account_key": KEY}, {"sas_token": TOKEN}):
        got = config("abs://a@c/p", None, **options)
        assert KEY not in repr(got)
        assert "abc" not in repr(got)


def test_the_configuration_file_says_the_same() -> None:
    text = DB + (
        f"  replica: {{type: abs, bucket: c, path: /a//b/, account-name: a, account-key: {KEY}, endpoint: 'h:1'}}\n"
    )
    replica = only_replica(text)
    client = replica.client()
    assert "AzureReplicaClient abs://a@c/a/b endpoint=https://h:1" in repr(client)
    assert replica.described() == {"bucket": "c", "path": "a/b", "endpoint": "h:1"}
    url = only_replica(DB + f"  replica: {{url: 'abs://a@c/b', sas-token: '{TOKEN}'}}\n")
    assert "abs://a@c/b" in repr(url.client())
    assert "bucket of an abs replica" in fail(DB + "  replica: {type: abs, path: p}\n")


# Identities


@pytest.fixture
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy(abs_server: AzureServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(abs_server.port) as proxy:
        yield proxy


def signing_in(server: AzureServer, port: int) -> ReplicaClient:
    """Return a client without key and token; clients of one container under equal settings would share an identity."""
    return replica_client(server.url("identity", port=port, key=False), timeout_s=5.0 + next(_numbers))


def fake_identity(monkeypatch: pytest.MonkeyPatch, credential: object) -> None:
    module = ModuleType("azure.identity")
    module.DefaultAzureCredential = lambda: credential  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azure", ModuleType("azure"))
    monkeypatch.setitem(sys.modules, "azure.identity", module)


@pytest.mark.usefixtures("_no_environment")
def test_azure_identity_gives_a_token_where_it_is_installed(
    abs_server: AzureServer, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    scopes: list[str] = []

    def get_token(scope: str) -> SimpleNamespace:
        scopes.append(scope)
        return SimpleNamespace(token="the-token", expires_on=4_102_444_800)  # noqa: S106

    fake_identity(monkeypatch, SimpleNamespace(get_token=get_token))
    client = signing_in(abs_server, proxy.port)
    with pytest.raises(DeniedError):  # the server knows no such token
        client.read_ltx(FILE)
    assert scopes == ["https://storage.azure.com/.default"]
    assert b"Bearer the-token" in proxy.seen()[0].head


@pytest.mark.usefixtures("_no_environment")
def test_an_identity_that_cannot_sign_in_is_denied_in_its_own_words(
    abs_server: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_token(_scope: str) -> object:
        msg = "Please run 'az login'\nand much more"
        raise RuntimeError(msg)

    fake_identity(monkeypatch, SimpleNamespace(get_token=get_token))
    with pytest.raises(DeniedError, match=r"no credentials: Please run 'az login'$"):
        signing_in(abs_server, abs_server.port).read_ltx(FILE)


@pytest.mark.usefixtures("_no_environment")
def test_a_client_secret_of_the_environment_is_used_without_that_package(
    abs_server: AzureServer, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    monkeypatch.setenv("AZURE_CLIENT_ID", "id")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "secret-words")
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(DeniedError, match="give an account key or a SAS token") as raised:
        signing_in(abs_server, abs_server.port).read_ltx(FILE)
    assert proxy.seen()[0].path == "/tenant/oauth2/v2.0/token"
    assert "secret-words" not in str(raised.value)


MACHINE = "http://169.254.169.254/metadata/identity/oauth2/token"
OTHER = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"Error performing token request: Error performing GET {MACHINE} - status code: 404 Not Found", DeniedError),
        (f"Error performing token request: Error performing GET {MACHINE} kind: Connect", DeniedError),
        (f"Error performing token request: Error performing POST {OTHER} kind: Connect", UnavailableError),
        (f"Error performing token request: Error performing POST {OTHER} - status code: 503 Busy", UnavailableError),
    ],
)
def test_a_token_that_did_not_come_is_no_missing_file(text: str, kind: type[Exception]) -> None:
    failure = read_failure(GenericError(text), AZURE_CODES)
    assert not failure.is_missing
    error = failure_error(failure, what="GET x", server="https://a", bucket="c", permission="p")
    assert type(error) is kind
    assert "token" in str(error)


# Processes


def test_clients_of_one_container_share_what_reaches_it() -> None:
    first, second = (AzureBucket(config(f"abs://a@c/{path}", account_key=KEY)) for path in ("p", "q"))
    other = AzureBucket(config("abs://a@c/p", sas_token=TOKEN))
    for bucket in (first, second, other):
        bucket.open()
    assert first._held is second._held
    assert first._held is not other._held


def test_a_child_forked_after_another_store_was_used_is_refused(abs_server: AzureServer, s3_server: S3Server) -> None:
    script = """
import os, sys, warnings
from replication.client.url import replica_client
warnings.simplefilter("ignore")
print(sorted({"obstore", "azure"} & set(sys.modules)), flush=True)
list(replica_client(sys.argv[1]).ltx_files(0))
if os.fork() == 0:
    try:
        list(replica_client(sys.argv[2]).ltx_files(0))
    except Exception as error:
        print(type(error).__name__, "fork" in str(error), flush=True)
    os._exit(0)
os.wait()
print(list(replica_client(sys.argv[2]).ltx_files(0)))
"""
    arguments = [s3_server.url("azure-fork"), abs_server.url("fork")]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["[]", "UsageError True", "[]"], done.stderr
