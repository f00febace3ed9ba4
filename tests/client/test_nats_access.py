"""Who may do what at a NATS server: credentials, permissions, TLS; each error is one clear message without secrets."""

import base64
import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from replication.client.url import replica_client
from replication.clock import SYSTEM_CLOCK
from replication.errors import DeniedError, UnavailableError, UsageError
from replication.lease import Lease
from tests.client.ltx_bytes import names, write
from tests.support.nats_server import NatsServer, nats_client

PASSWORD = "the-password"  # noqa: S105 - of a loopback server
SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode()
PUBLIC_KEY = nkeys.from_seed(bytearray(SEED.encode())).public_key.decode()
READER = [f"$JS.API.{name}" for name in (
    "STREAM.INFO.OBJ_db", "STREAM.MSG.GET.OBJ_db", "CONSUMER.CREATE.OBJ_db", "CONSUMER.MSG.NEXT.OBJ_db.*",
    "CONSUMER.DELETE.OBJ_db.*",
)]  # fmt: skip
WRITER = [*READER, "$JS.API.STREAM.PURGE.OBJ_db", "$O.db.>"]


def user(name: str, publish: list[str] | None = None, subscribe: str = "_INBOX.>") -> dict[str, object]:
    permissions = {} if publish is None else {"permissions": {"publish": publish, "subscribe": [subscribe]}}
    return {"user": name, "password": PASSWORD, **permissions}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    users = [
        user("admin"),
        user("reader", READER),
        user("writer", WRITER),
        user("mute", ["nothing"]),
        user("deaf", READER, "elsewhere"),
        {"nkey": PUBLIC_KEY},
    ]
    settings = f"authorization {{ users: {json.dumps(users)} }}"
    with NatsServer(tmp_path_factory.mktemp("nats"), settings, login=f"admin:{PASSWORD}") as made:
        made.create_bucket("db")
        yield made


def test_a_wrong_password_is_denied_and_shown_nowhere(server: NatsServer) -> None:
    client = replica_client(server.url("db", "writer:wr0ng-secret"))
    with pytest.raises(DeniedError, match="does not accept the credentials") as raised:
        client.init()
    assert "wr0ng" not in repr(client) + str(raised.value) + repr(raised.value.__cause__)
    with pytest.raises(DeniedError):
        replica_client(server.url("db")).init()


def test_no_such_bucket_is_a_usage_error_that_says_how_to_make_one(server: NatsServer) -> None:
    client = replica_client(server.url("nowhere", f"admin:{PASSWORD}"))
    for call in (client.init, lambda: names(client, 0), lambda: write(client, 0, 1)):
        with pytest.raises(UsageError, match=r"no object store nowhere at nats://127.*nats object add nowhere"):
            call()


def test_a_server_without_jetstream_says_so(tmp_path: Path) -> None:
    with (
        NatsServer(tmp_path, has_jetstream=False) as plain,
        pytest.raises(UnavailableError, match=r"JetStream does not answer at .*: is it enabled there\?"),
    ):
        replica_client(plain.url("db")).init()


def test_the_least_privileges_are_enough_to_read_and_to_write(server: NatsServer) -> None:
    reader, writer = (nats_client(server.url("db", f"{name}:{PASSWORD}")) for name in ("reader", "writer"))
    writer.init()
    info = write(writer, 0, 1)
    write(writer, 0, 1)
    info = write(writer, 0, 1)
    assert Lease(writer.lease_store()).hold()
    reader.init()
    assert list(reader.ltx_files(0)) == [info]
    assert len(reader.read_ltx(info)) == info.size
    with reader.watch(lambda: None):
        pass
    writer.delete_ltx_files([info])
    assert names(reader, 0) == []


def test_what_a_user_may_not_do_is_denied_at_once(server: NatsServer) -> None:
    begin = time.monotonic()
    writer = nats_client(server.url("db", f"writer:{PASSWORD}"))
    reader = nats_client(server.url("db", f"reader:{PASSWORD}"))
    info = write(writer, 0, 1)
    with pytest.raises(DeniedError, match=r"write ltx/0/.*: the user has no permission for publish to \$O\.db\.C\."):
        write(reader, 0, 2)
    with pytest.raises(DeniedError, match=r"delete ltx/0/.* no permission for publish to \$JS\.API\.STREAM\.PURGE"):
        reader.delete_ltx_files([info])
    with pytest.raises(DeniedError, match=r"no permission for publish to \$JS\.API\.STREAM\.INFO"):
        nats_client(server.url("db", f"mute:{PASSWORD}")).init()
    with pytest.raises(DeniedError, match=r"no permission for publish to \$JS\.API\.CONSUMER\.CREATE"):
        names(nats_client(server.url("db", f"mute:{PASSWORD}")), 0)
    with pytest.raises(DeniedError, match="no permission for subscription to _INBOX"):
        nats_client(server.url("db", f"deaf:{PASSWORD}")).init()
    assert names(reader, 0) == [(1, 1)]
    assert time.monotonic() - begin < 10.0
    writer.delete_all()


@pytest.mark.parametrize("options", [{"seed": SEED}, {"nkey": SEED}, {"nkey": PUBLIC_KEY, "seed": SEED}])
def test_an_nkey_is_accepted(server: NatsServer, options: dict[str, str]) -> None:
    client = nats_client(server.url("db"), **options)
    client.init()
    assert SEED not in repr(client) + repr(client.config)


def test_a_wrong_seed_is_a_usage_error_that_does_not_show_it(server: NatsServer) -> None:
    with pytest.raises(UsageError, match="expected the seed of an NKey") as raised:
        replica_client(server.url("db"), seed="SUnonsense").init()
    assert "nonsense" not in str(raised.value)


def test_a_jwt_is_accepted_with_its_seed_or_in_a_file(tmp_path: Path) -> None:
    settings, jwt = make_jwts()
    creds = tmp_path / "user.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
    )
    with NatsServer(tmp_path / "server", settings) as server:
        for options in ({"jwt": jwt, "seed": SEED}, {"creds": str(creds)}):
            with pytest.raises(UsageError, match="no object store db"):
                replica_client(server.url("db"), **options).init()
        with pytest.raises(DeniedError, match="does not accept"):
            replica_client(server.url("db")).init()
        url = f"{server.url('db')}?creds={creds}"
        creds.write_text("nothing")
        with pytest.raises(UsageError, match="expected a file with a NATS user's JWT and seed"):
            replica_client(url).init()


def test_without_the_library_the_extra_is_named(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(UsageError, match=re.escape("pip install apsw-litestream[nats]")):
        replica_client(server.url("db"))


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an authority, and a certificate of it for a server and for a client."""
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    return directory


@pytest.fixture(scope="module")
def tls_server(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    paths = {f"{name}_file": str(certificates / f"{name}.pem") for name in ("cert", "key", "ca")}
    settings = f"tls: {json.dumps({**paths, 'verify': True})}"
    with NatsServer(tmp_path_factory.mktemp("nats"), settings) as made:
        yield made


def test_tls_is_verified_and_shows_a_certificate_where_the_server_wants_one(
    tls_server: NatsServer, certificates: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ca, cert, key = (str(certificates / f"{name}.pem") for name in ("ca", "cert", "key"))
    with pytest.raises(UsageError, match="no object store db"):
        replica_client(tls_server.url("db"), root_cas=[ca], client_cert=cert, client_key=key).init()
    with pytest.raises(UsageError, match=r"certificate of nats://.* is not accepted .*root_cas names"):
        replica_client(tls_server.url("db")).init()
    with pytest.raises(UsageError, match="is not accepted"):
        replica_client(tls_server.url("db"), tls=True).init()
    with pytest.raises(UsageError, match=r"is not accepted \(.*localhost"):
        replica_client(f"nats://localhost:{tls_server.port}/db", root_cas=ca).init()
    with pytest.raises((DeniedError, UnavailableError)):  # the refusal may be lost when the connection ends
        replica_client(tls_server.url("db"), root_cas=ca).init()
    assert capfd.readouterr().err == ""


def test_a_file_that_is_no_certificate_is_a_usage_error(tls_server: NatsServer, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(UsageError, match="root_cas, client_cert or client_key cannot be used"):
        replica_client(tls_server.url("db"), root_cas=str(path)).init()


def test_nothing_is_sent_to_a_server_without_tls_where_tls_is_asked_for(server: NatsServer) -> None:
    received = server.counters()["in_msgs"]
    with pytest.raises(UsageError, match=r"TLS is asked for, and nats://.* has none"):
        replica_client(server.url("db", f"admin:{PASSWORD}"), tls=True).init()
    assert server.counters()["in_msgs"] == received


def make_certificates(directory: Path) -> None:
    now = SYSTEM_CLOCK.now()

    def make(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey) -> bytes:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        )
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (directory / "ca.pem").write_bytes(make("ca", ca_key, "ca", ca_key))
    (directory / "cert.pem").write_bytes(make("server", key, "ca", ca_key))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def make_jwts() -> tuple[str, str]:
    """Return the settings of a server that trusts an operator, and the JWT of a user whose seed is SEED."""

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    def pair(prefix: int, number: int) -> tuple[str, str]:
        seed = nkeys.encode_seed(bytes([number] * 32), prefix)
        return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()

    def sign(seed: str, issuer: str, subject: str, claims: dict[str, object]) -> str:
        header = encode(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        fields = {"jti": subject, "iat": 1, "iss": issuer, "name": "test", "sub": subject}
        text = f"{header}.{encode(json.dumps({**fields, 'nats': {'version': 2, **claims}}).encode())}"
        return f"{text}.{encode(nkeys.from_seed(bytearray(seed.encode())).sign(text.encode()))}"

    operator_seed, operator = pair(nkeys.PREFIX_BYTE_OPERATOR, 1)
    account_seed, account = pair(nkeys.PREFIX_BYTE_ACCOUNT, 2)
    _, system = pair(nkeys.PREFIX_BYTE_ACCOUNT, 3)
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    storage = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}

    def account_jwt(key: str, limits: dict[str, object]) -> str:
        return sign(operator_seed, operator, key, {"type": "account", "limits": limits})

    settings = {
        "operator": sign(operator_seed, operator, operator, {"type": "operator"}),
        "system_account": system,
        "resolver": "MEMORY",
        "resolver_preload": {
            account: account_jwt(account, {**limits, **storage, "wildcards": True}),
            system: account_jwt(system, {**limits, "wildcards": True}),
        },
    }
    user_jwt = sign(account_seed, account, PUBLIC_KEY, {"type": "user", "subs": -1, "data": -1, "payload": -1})
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in settings.items()), user_jwt
