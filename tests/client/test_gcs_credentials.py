"""Tokens of Google: that they come from every kind of credentials, are renewed in time, and that no secret gets out.

Bugs planted to see it fail: the threshold before a token's end ignored, a token fetched by each thread, a refused one
used for ever, the answer of the token server shown.
"""

import base64
import json
import os
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from replication.client.base import ReplicaClient
from replication.client.gcs import GCSReplicaClient
from replication.client.gcs_credentials import SCOPE
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from replication.errors import DeniedError, LitestreamError, UnavailableError, UsageError
from tests.client.ltx_bytes import names, write
from tests.support.gcs_server import GCSServer
from tests.support.servers import free_port
from tests.support.token_server import CLIENT_SECRET, REFRESH_TOKEN, TokenServer, private_key

VARIABLES = ("GOOGLE_", "GCLOUD_", "CLOUDSDK_", "GCE_", "STORAGE_EMULATOR_HOST")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "none"))
    nowhere = f"127.0.0.1:{free_port()}"  # never the metadata of the machine that runs the tests
    monkeypatch.setenv("GCE_METADATA_IP", nowhere)
    monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", nowhere)
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"http://{nowhere}/token")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")  # else gcloud is asked for it


@pytest.fixture(autouse=True)
def _reset(gs_server: GCSServer) -> Iterator[None]:
    gs_server.reset()
    yield
    gs_server.reset()


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture
def client(gs_server: GCSServer, tokens: TokenServer, tmp_path: Path) -> Iterator[ReplicaClient]:
    """A client with the key of a service account, that does not retry."""
    client = bare(gs_server, credentials_path=str(tokens.service_account_file(tmp_path)))
    yield client
    client.close()


def bare(server: GCSServer, **options: object) -> GCSReplicaClient:
    client = replica_client(server.url("credentials", anonymous=False), **options)
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, GCSReplicaClient)
    return client.inner


def test_a_service_account_signs_for_a_token_that_each_request_carries(
    client: ReplicaClient, gs_server: GCSServer, tokens: TokenServer
) -> None:
    client.init()
    assert tokens.asked == []
    gs_server.require("token-1")
    (info,) = [write(client, 0, 1)]
    assert names(client, 0) == [(1, 1)]
    assert client.read_ltx(info, 0, 4) == b"LTX1"
    client.delete_ltx_files([info])
    assert {request.authorization for request in gs_server.requests()} == {"Bearer token-1"}
    (form,) = tokens.asked
    claims = form["assertion"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["scope"] == SCOPE


def test_a_token_is_renewed_minutes_before_it_ends(
    client: ReplicaClient, gs_server: GCSServer, tokens: TokenServer
) -> None:
    tokens.expires_in_s = 200
    names(client, 0)
    tokens.expires_in_s = 3600
    for _ in range(3):
        names(client, 0)
    sent = [request.authorization for request in gs_server.requests()]
    assert sent == ["Bearer token-1"] + ["Bearer token-2"] * 3


def test_many_threads_ask_for_one_token(client: ReplicaClient, tokens: TokenServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _number: names(client, 3), range(16))) == [[]] * 16
    assert tokens.tokens == 1


def test_a_token_that_the_server_refuses_is_replaced_once(
    client: ReplicaClient, gs_server: GCSServer, tokens: TokenServer
) -> None:
    names(client, 0)
    gs_server.require("token-2")
    names(client, 0)
    assert tokens.tokens == 2
    gs_server.require("another")
    with pytest.raises(DeniedError, match=r"the credentials were not accepted \(401 authError\)"):
        names(client, 0)
    assert tokens.tokens == 3


def test_a_signed_in_user_is_known(
    gs_server: GCSServer, tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gs_server.require("token-1")
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"http://{tokens.host}/token")
    client = bare(gs_server, credentials_path=str(tokens.authorized_user_file(tmp_path)))
    assert names(client, 5) == []
    assert tokens.asked[0]["refresh_token"] == REFRESH_TOKEN
    client.close()


def test_the_environment_names_a_key_file(
    gs_server: GCSServer, tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gs_server.require("token-1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tokens.service_account_file(tmp_path)))
    client = bare(gs_server)
    assert names(client, 5) == []
    client.close()


def test_a_machine_of_google_has_an_account_of_its_own(
    gs_server: GCSServer, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gs_server.require("token-1")
    monkeypatch.setenv("GCE_METADATA_IP", tokens.host)
    monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", tokens.host)
    client = bare(gs_server)
    assert names(client, 5) == []
    client.close()


def test_no_credentials_at_all_are_told_with_what_to_do(gs_server: GCSServer) -> None:
    with pytest.raises(DeniedError, match=r"none were found: set credentials_path or .*gcloud"):
        replica_client(gs_server.url("credentials", anonymous=False)).init()


def test_anonymous_requests_carry_no_token_and_are_refused_clearly(gs_server: GCSServer) -> None:
    client = replica_client(gs_server.url("credentials"))
    assert names(client, 0) == []
    gs_server.require("token-1")
    with pytest.raises(DeniedError, match=r"anonymous access is denied .*storage\.objects\.list on bucket"):
        names(client, 0)
    assert {request.authorization for request in gs_server.requests()} == {""}
    client.close()


def test_a_token_that_is_refused_is_a_clear_error_without_secrets(client: ReplicaClient, tokens: TokenServer) -> None:
    tokens.refuse(400, {"error": "invalid_grant", "error_description": f"leaky {private_key()}"})
    with pytest.raises(DeniedError, match=r"got no token: the token server refused \(400 invalid_grant\)") as raised:
        names(client, 0)
    shown = "".join(traceback.format_exception(raised.value)) + repr(client)
    assert private_key()[40:80] not in shown
    assert "leaky" not in shown


def test_no_secret_of_a_user_is_shown(
    gs_server: GCSServer, tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"http://{tokens.host}/token")
    client = bare(gs_server, credentials_path=str(tokens.authorized_user_file(tmp_path)))
    tokens.refuse(401, {"error": f"{REFRESH_TOKEN} {CLIENT_SECRET}"})
    with pytest.raises(DeniedError, match=r"refused \(401\)") as raised:
        names(client, 0)
    error: BaseException | None = raised.value
    texts = ["".join(traceback.format_exception(raised.value)), repr(client), repr(client.config), repr(vars(client))]
    while error is not None:
        texts.append(repr(error))
        error = error.__cause__ or error.__context__
    for secret in (REFRESH_TOKEN, CLIENT_SECRET):
        assert [text for text in texts if secret in text] == []


def test_a_token_server_that_is_down_is_worth_another_try(
    gs_server: GCSServer, tokens: TokenServer, tmp_path: Path
) -> None:
    path = tokens.service_account_file(tmp_path)
    path.write_text(path.read_text().replace(tokens.host, f"127.0.0.1:{free_port()}"))
    with pytest.raises(UnavailableError, match=r"got no token: .*cannot connect"):
        names(bare(gs_server, credentials_path=str(path), timeout_s=2.0), 0)


def test_a_token_server_that_fails_is_worth_another_try(client: ReplicaClient, tokens: TokenServer) -> None:
    tokens.refuse(500, {"error": "internal"})
    with pytest.raises(UnavailableError, match=r"the token server failed \(500 internal\)"):
        names(client, 0)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot read credentials_path .*FileNotFoundError"),
        ("secret", "expected as credentials_path a JSON key file"),
        ("[]", "expected as credentials_path a JSON key file"),
        ('{"type": "service_account", "private_key": "secret"}', "expected as credentials_path a JSON key file"),
        ('{"type": "external_account"}', "got one of another type, for which GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_a_key_file_that_is_none_is_a_usage_error(
    gs_server: GCSServer, tmp_path: Path, content: str | None, text: str
) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=text) as raised:
        bare(gs_server, credentials_path=str(path)).init()
    assert "secret" not in str(raised.value)


def test_a_library_that_is_not_installed_is_named(gs_server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(UsageError, match=r"pip install apsw-litestream\[gcs\]"):
        bare(gs_server)
    client = replica_client(gs_server.url("credentials"))  # anonymous: it needs no token
    assert names(client, 5) == []
    client.close()


def test_a_token_goes_to_no_other_server(client: ReplicaClient, gs_server: GCSServer) -> None:
    assert isinstance(client, GCSReplicaClient)
    bucket = client._bucket
    bucket.send("PUT", f"http://localhost:{gs_server.port}/upload/storage/v1/b/test-bucket/o?upload_id=1", content=b"")
    assert gs_server.requests()[-1].authorization == ""


def test_errors_of_google_auth_are_not_chained(client: ReplicaClient, tokens: TokenServer) -> None:
    tokens.refuse(403, {"error": "access_denied"})
    with pytest.raises(LitestreamError) as raised:
        names(client, 0)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
