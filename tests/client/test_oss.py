"""Alibaba Cloud OSS: the suite of all clients, settings, and what differs from S3.

What OSS itself answers is written here as its documentation has it: no server of its kind runs on this machine. Bugs
planted to see it fail: a condition taken for honoured, keys of AWS used, a bucket of another region taken for denied.
"""

import io
import itertools
import threading

import pytest

from replication.client.base import ReplicaClient
from replication.client.oss import OSSReplicaClient
from replication.client.oss_config import oss_config
from replication.client.retry import RetryingClient
from replication.client.s3_config import S3Config
from replication.client.s3_host import bucket_endpoint
from replication.client.url import replica_client
from replication.client.url_parse import parse_replica_url
from replication.errors import DeniedError, LitestreamError, LTXExistsError, ThrottledError, UsageError
from replication.lease_stores import lease_store
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.cli.parsing import fail, only_replica
from tests.client.conformance import SharedStoreTests
from tests.client.ltx_bytes import ltx_bytes, names, write
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, S3Server, count_by_kind, oss_url

FILE = FileInfo(level=0, min_txid=TXID(1), max_txid=TXID(1))
NAME = "0000000000000001-0000000000000001.ltx"
DB = "dbs:\n- path: /srv/app.db\n"

_numbers = itertools.count(1)


def inner(client: ReplicaClient) -> OSSReplicaClient:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, OSSReplicaClient)
    return client.inner


class TestOSS(SharedStoreTests):
    @pytest.fixture
    def client(self, s3_server: S3Server) -> ReplicaClient:
        self.server = s3_server
        return replica_client(oss_url(s3_server, f"oss-conformance/{next(_numbers)}"))

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        names = (f"{txid:016x}-{txid:016x}.ltx" for txid in txids)
        self.server.fill((f"{inner(client).config.path}/{level:04x}/{name}", ltx_bytes(1, 1)) for name in names)

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        self.server.fill([(f"{inner(client).config.path}/{level:04x}/{name}", data)])

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return replica_client(oss_url(self.server, inner(client).config.path + "0"))

    def test_of_two_writers_at_once_one_is_told_that_the_name_is_taken(self, client: ReplicaClient) -> None:
        """Here both may write, because a listing is all that is asked before; one whole file is there after."""
        contents = [ltx_bytes(1, 1, size=size) for size in (1000, 2000)]
        start = threading.Barrier(2)

        def store(data: bytes) -> None:
            start.wait()
            try:
                client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(data), if_absent=True)
            except LTXExistsError:
                return

        threads = [threading.Thread(target=store, args=(data,)) for data in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert names(client, 0) == [(1, 1)]
        (info,) = client.ltx_files(0)
        assert client.read_ltx(info) in contents


def config(url: str, environ: dict[str, str] | None = None, **options: object) -> S3Config:
    return oss_config(parse_replica_url(url), options, environ or {})


def address(config: S3Config) -> str:
    return bucket_endpoint(config.bucket, config.region, config.endpoint, path_style=config.path_style)


@pytest.mark.parametrize(
    ("url", "region", "expected"),
    [
        ("oss://b/p", "cn-hangzhou", "https://b.oss-cn-hangzhou.aliyuncs.com"),
        ("oss://b/p?region=cn-beijing", "cn-beijing", "https://b.oss-cn-beijing.aliyuncs.com"),
        ("oss://b.oss-cn-shenzhen.aliyuncs.com/p", "cn-shenzhen", "https://b.oss-cn-shenzhen.aliyuncs.com"),
        (
            "oss://b.oss-us-west-1-internal.aliyuncs.com/p",
            "us-west-1",
            "https://b.oss-us-west-1-internal.aliyuncs.com",
        ),
        ("oss://b/p?endpoint=s3.oss-eu-west-1.aliyuncs.com", "cn-hangzhou", "https://b.s3.oss-eu-west-1.aliyuncs.com"),
        ("oss://b/p?endpoint=http://10.0.0.5:9000", "cn-hangzhou", "http://10.0.0.5:9000"),
    ],
)
def test_a_url_leads_to_this_place(url: str, region: str, expected: str) -> None:
    got = config(url)
    assert (got.bucket, got.path, got.region) == ("b", "p", region)
    assert address(got) == expected


def test_settings_come_from_url_options_and_environment_in_this_order() -> None:
    theirs = {"OSS_ACCESS_KEY_ID": "id1", "OSS_ACCESS_KEY_SECRET": "s1", "OSS_SESSION_TOKEN": "t1"}
    cloud = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id2", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s2"}
    aws = {"AWS_ACCESS_KEY_ID": "id3", "AWS_SECRET_ACCESS_KEY": "s3", "AWS_REGION": "r3"}
    cases = [
        (config("oss://b/p", theirs | cloud | aws), ("id1", "s1", "t1")),
        (config("oss://b/p", cloud | aws), ("id2", "s2", "")),
        (config("oss://b/p", aws), ("", "", "")),
        (config("oss://x:y@b/p", theirs), ("x", "y", "")),
        (config("oss://b/p", theirs, access_key_id="x", secret_access_key="y"), ("x", "y", "")),  # noqa: S106
    ]
    for got, expected in cases:
        keys = got.credentials
        assert (keys.access_key_id, keys.secret_access_key, keys.session_token) == expected
        assert got.region == "cn-hangzhou"
        assert not expected[1] or f"'{expected[1]}'" not in repr(got)
    got = config("oss://b/p?partSize=6MiB&concurrency=2", part_size=7 * 2**20, timeout_s=2)
    assert (got.part_size, got.concurrency, got.timeout_s) == (7 * 2**20, 2, 2.0)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("oss:///p", "without a bucket"),
        ("oss://b/p?storageClass=IA", "unknown parameter of the URL of an OSS replica"),
        ("oss://id@b/p", "got only the id"),
        ("oss://b/p?partSize=1", "at least 5242880 bytes"),
    ],
)
def test_a_wrong_setting_is_named(url: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        config(url)


def test_a_bucket_without_a_path_is_refused() -> None:
    with pytest.raises(UsageError, match=r"oss://b/path"):
        replica_client("oss://k:s@b")


def test_the_configuration_file_says_the_same() -> None:
    text = "  replica: {type: oss, bucket: b, path: a/b, access-key-id: k, secret-access-key: s, part-size: 6MiB}\n"
    client = only_replica(DB + text).client()
    assert "OSSReplicaClient oss://b/a/b endpoint=https://oss-cn-hangzhou.aliyuncs.com" in repr(client)
    assert inner(client).config.part_size == 6 * 2**20
    assert "bucket of an oss replica" in fail(DB + "  replica: {type: oss, path: p}\n")
    assert "without slashes" in fail(DB + "  replica: {type: oss, bucket: b, path: p/}\n")


def test_without_keys_nothing_is_sent_and_no_key_of_aws_is_used(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("OSS_ACCESS_KEY_ID", raising=False)
    client = replica_client(f"oss://{DEFAULT_BUCKET}/p?endpoint={s3_server.endpoint}")
    with pytest.raises(DeniedError, match="OSS_ACCESS_KEY_ID"):
        client.init()
    with pytest.raises(DeniedError, match="OSS_ACCESS_KEY_ID"):
        client.read_ltx(FILE)
    assert s3_server.requests() == []


def test_a_write_that_must_not_replace_asks_for_what_is_there_first(s3_server: S3Server) -> None:
    client = replica_client(oss_url(s3_server, f"oss/{next(_numbers)}"))
    client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(ltx_bytes(1, 1)), if_absent=True)
    with pytest.raises(LTXExistsError, match=NAME):
        client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(ltx_bytes(1, 1)), if_absent=True)
    assert [request.kind for request in s3_server.requests()] == ["LIST", "PUT", "LIST"]


def test_it_keeps_no_lease(s3_server: S3Server) -> None:
    assert lease_store(replica_client(oss_url(s3_server, "oss/lease"))) is None


def test_files_are_deleted_one_by_one_where_a_list_needs_another_digest(s3_server: S3Server) -> None:
    client = replica_client(oss_url(s3_server, f"oss/{next(_numbers)}"))
    infos = [write(client, 0, txid) for txid in (1, 2)]
    s3_server.reset()
    s3_server.fail("InvalidArgument", status=400, kind="DELETE")
    client.delete_ltx_files(infos)
    assert names(client, 0) == []
    assert [request.method for request in s3_server.requests()] == ["POST", "DELETE", "DELETE", "GET"]


ELSEWHERE = "as it is elsewhere</Message><Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint><Message>"


@pytest.mark.parametrize(
    ("answer", "message", "kind", "text"),
    [
        (("AccessDenied", 403), "", DeniedError, "oss:GetObject"),
        (
            ("AccessDenied", 403),
            ELSEWHERE,
            UsageError,
            "is in region cn-beijing, not cn-hangzhou: set region=cn-beijing",
        ),
        (("InvalidAccessKeyId", 403), "", DeniedError, "access key id is unknown"),
        (("SignatureDoesNotMatch", 403), "", DeniedError, "secret access key"),
        (("SecurityTokenExpired", 403), "", DeniedError, "session token has expired"),
        (("QpsLimitExceeded", 503), "", ThrottledError, "fewer requests"),
        (("NoSuchBucket", 404), "", UsageError, f"bucket {DEFAULT_BUCKET} does not exist"),
    ],
)
def test_a_failed_read_is_sorted_by_what_to_do_next(
    s3_server: S3Server, answer: tuple[str, int], message: str, kind: type[LitestreamError], text: str
) -> None:
    client = replica_client(oss_url(s3_server, f"oss/{next(_numbers)}"))
    write(client, 0, 1)
    code, status = answer
    s3_server.fail(code, status=status, kind="GET", message=f"{message} secret-words")
    with pytest.raises(kind) as raised:
        inner(client).read_ltx(FILE)
    assert type(raised.value) is kind
    assert text in str(raised.value)
    assert "secret-words" not in str(raised.value)
    assert count_by_kind(s3_server.requests())["GET"] == 1
