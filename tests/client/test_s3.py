"""S3: requests, errors sorted by what to do next, credentials, regions, and that no secret gets out."""

import base64
import io
import itertools
import os
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient
from replication.client.s3 import S3ReplicaClient
from replication.client.s3_config import TIGRIS_HEADERS, s3_config
from replication.client.s3_store import S3Bucket
from replication.client.s3_stores import S3Stores
from replication.client.url import replica_client
from replication.client.url_parse import parse_replica_url
from replication.errors import (
    DeniedError,
    LitestreamError,
    LTXExistsError,
    LTXMissingError,
    ThrottledError,
    UnavailableError,
    UsageError,
)
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.client.ltx_bytes import ltx_bytes, names, write
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, SECRET_ACCESS_KEY, S3Server, count_by_kind
from tests.support.s3_server import sequential_depth as depth

FILE = FileInfo(level=0, min_txid=TXID(1), max_txid=TXID(1))
MISSING = FileInfo(level=0, min_txid=TXID(2), max_txid=TXID(2))
NAME = "0000000000000001-0000000000000001.ltx"
TOKEN = "session-token"  # noqa: S105 - nobody checks it
AWS_VARIABLES = [name for name in os.environ if name.startswith(("AWS_", "LITESTREAM_"))]

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in AWS_VARIABLES:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def path(s3_server: S3Server) -> str:
    """The path of a replica that holds FILE."""
    path = f"s3/{next(_numbers)}"
    s3_server.fill([(f"{path}/0000/{NAME}", ltx_bytes(1, 1))])
    return path


def bare(url: str, **options: object) -> ReplicaClient:
    """Return a client that does not retry."""
    client = replica_client(url, **options)
    assert isinstance(client, RetryingClient)
    return client.inner


# Requests


def test_what_it_does_costs_one_request_each(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path))
    client.init()
    assert s3_server.requests() == []
    (info,) = client.ltx_files(0)
    client.read_ltx(info, 0, 100)
    client.read_ltx(info)
    client.read_ltx(info, 5, 5)
    client.open_ltx_file(0, TXID(1), TXID(1)).read()
    write(client, 0, 3)
    client.delete_ltx_files([info, MISSING, FILE])
    assert count_by_kind(s3_server.requests()) == {"LIST": 1, "GET": 3, "PUT": 1, "DELETE": 1}


def test_all_levels_are_one_request_until_there_are_too_many_files(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path))
    files = list(client.ltx_files(0))
    s3_server.fill([(f"{path}/other/{number}", b"") for number in range(998)])
    s3_server.reset()
    assert client.ltx_levels() == {level: files if level == 0 else [] for level in LEVELS}
    assert count_by_kind(s3_server.requests()) == {"LIST": 1}
    s3_server.fill([(f"{path}/other/998", b"")])
    assert client.ltx_levels() is None
    assert client.ltx_levels() is None  # which is known by now
    assert count_by_kind(s3_server.requests()) == {"LIST": 2}


def test_the_headers_of_a_provider_go_with_each_request(s3_server: S3Server, path: str) -> None:
    config = s3_config(parse_replica_url(s3_server.url(path)), {}, {})
    client = S3ReplicaClient(replace(config, headers=TIGRIS_HEADERS))
    (info,) = client.ltx_files(0, use_metadata=True)
    client.read_ltx(info)
    write(client, 0, 3)
    write(client, 0, 4, data=ltx_bytes(4, 4, size=6 * 2**20))
    client.delete_ltx_files([info])
    requests = s3_server.requests()
    assert {request.method for request in requests} == {"GET", "HEAD", "PUT", "POST"}
    assert [request.headers["HTTP_X_TIGRIS_CONSISTENT"] for request in requests] == ["true"] * len(requests)


def test_a_seek_is_done_by_the_server(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path))
    s3_server.fill((f"{path}/0000/{txid:016x}-{txid:016x}.ltx", ltx_bytes(1, 1)) for txid in range(2, 2100))
    assert names(client, 0, seek=2000) == [(txid, txid) for txid in range(2000, 2100)]
    (request,) = s3_server.requests()
    assert request.bytes < 100 * 500


def test_accurate_times_are_asked_for_side_by_side(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path))
    for txid in range(1, 41):
        write(client, 0, txid)
    s3_server.reset()
    s3_server.set_delay_ms(100)  # longer than the server takes for many at once
    infos = list(client.ltx_files(0, use_metadata=True))
    assert len({info.created_at for info in infos}) == 1
    requests = s3_server.requests()
    assert count_by_kind(requests) == {"LIST": 1, "HEAD": 40}
    assert depth(requests) <= 1 + 40 // 16 + 3


def test_a_file_without_the_metadata_keeps_the_time_of_its_upload(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path))
    assert list(client.ltx_files(0, use_metadata=True)) == list(client.ltx_files(0))


def test_a_large_file_is_sent_in_parts_and_read_whole(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path))
    data = ltx_bytes(1, 1, size=18 * 2**20)
    s3_server.fail("SlowDown", status=503, kind="PUT", key=NAME)
    info = write(client, 1, 1, data=data)
    assert list(client.ltx_files(1, use_metadata=True)) == [info]
    assert client.read_ltx(info) == data
    kinds = [request.method for request in s3_server.requests() if request.kind == "PUT"]
    assert sorted(kinds) == ["POST"] * 3 + ["PUT"] * 4


def test_a_part_that_fails_is_sent_again_alone(s3_server: S3Server, path: str) -> None:
    client = bare(s3_server.url(path))
    reader = io.BytesIO(ltx_bytes(1, 1, size=12 * 2**20))
    s3_server.fail("InternalError", status=500, kind="PUT", key="0001/")
    client.write_ltx_file(1, TXID(1), TXID(1), reader)
    assert names(client, 1) == [(1, 1)]


def test_the_stored_object_is_as_the_go_program_stores_it(s3_server: S3Server, path: str) -> None:
    write(replica_client(s3_server.url(path)), 9, 1, 18)
    stored = s3_server.objects()[f"{path}/0009/0000000000000001-0000000000000012.ltx"]
    assert stored["metadata"]["x-amz-meta-litestream-timestamp"] == "2026-11-22T08:31:03.442Z"
    assert stored["metadata"]["content-type"] == "application/octet-stream"


def test_storage_class_and_kms_key_are_sent(s3_server: S3Server, path: str) -> None:
    url = s3_server.url(path) + "&storageClass=standard_ia&sse-kms-key-id=alias/mine"
    write(replica_client(url), 0, 1)
    (request,) = s3_server.requests()
    assert request.headers["HTTP_X_AMZ_STORAGE_CLASS"] == "STANDARD_IA"
    assert request.headers["HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION"] == "aws:kms"
    assert request.headers["HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID"] == "alias/mine"


def test_a_customer_key_is_sent_with_writes_and_reads(s3_server: S3Server, path: str) -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    client = replica_client(s3_server.url(path), sse_customer_key=key, sse_customer_algorithm="AES256")
    client.read_ltx(write(client, 0, 1), 0, 4)
    sent = [request.headers.get("HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY") for request in s3_server.requests()]
    assert sent == [key, key]


def test_an_unsigned_payload_is_sent_where_asked_for(s3_server: S3Server, path: str) -> None:
    write(replica_client(s3_server.url(path) + "&signPayload=false"), 0, 1)
    (request,) = s3_server.requests()
    assert request.headers["HTTP_X_AMZ_CONTENT_SHA256"] == "UNSIGNED-PAYLOAD"


@pytest.mark.parametrize("parameter", ["", "&requireContentMD5=true"])
def test_files_are_deleted_one_by_one_where_the_server_wants_that(
    s3_server: S3Server, path: str, parameter: str
) -> None:
    client = replica_client(s3_server.url(path) + parameter)
    s3_server.fill([(f"{path}/0000/{txid:016x}-{txid:016x}.ltx", ltx_bytes(1, 1)) for txid in (2, 3)])
    infos = list(client.ltx_files(0))
    if not parameter:
        s3_server.fail("MissingContentMD5", status=400, kind="DELETE", key="")
    client.delete_ltx_files(infos)
    assert names(client, 0) == []
    deletes = [request.method for request in s3_server.requests() if request.kind == "DELETE"]
    assert deletes == (["DELETE"] * 3 if parameter else ["POST", "DELETE", "DELETE", "DELETE"])


# Names that are taken


def create(client: ReplicaClient, txid: int, size: int = 1000) -> FileInfo:
    reader = io.BytesIO(ltx_bytes(txid, txid, size=size))
    return client.write_ltx_file(0, TXID(txid), TXID(txid), reader, if_absent=True)


def test_a_server_without_conditions_is_asked_before_what_is_there(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path))
    s3_server.fail("NotImplemented", status=501, kind="PUT", key=NAME)
    with pytest.raises(LTXExistsError, match=NAME):
        create(client, 1)
    create(client, 2)
    with pytest.raises(LTXExistsError):
        create(client, 2)
    kinds = [request.kind for request in s3_server.requests()]
    assert kinds == ["PUT", "LIST", "LIST", "PUT", "LIST"]


def test_a_file_in_parts_is_not_written_over_either(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path) + "&partSize=5MiB")
    create(client, 2, 6 * 2**20)
    with pytest.raises(LTXExistsError):
        create(client, 2, 6 * 2**20)
    assert names(client, 0) == [(1, 1), (2, 2)]


# Errors

ERRORS = [
    (("AccessDenied", 403), DeniedError, "s3:GetObject"),
    (("InvalidAccessKeyId", 403), DeniedError, "access key id is unknown"),
    (("SignatureDoesNotMatch", 403), DeniedError, "secret access key"),
    (("ExpiredToken", 400), DeniedError, "expired"),
    (("RequestTimeTooSkewed", 403), DeniedError, "clock"),
    (("Unauthorized", 401), DeniedError, "not accepted"),
    (("SlowDown", 503), ThrottledError, "fewer requests"),
    (("TooManyRequests", 429), ThrottledError, "fewer requests"),
    (("ServiceUnavailable", 503), UnavailableError, "503"),
    (("InternalError", 500), UnavailableError, "500"),
    (("RequestTimeout", 400), UnavailableError, "RequestTimeout"),
    (("NoSuchBucket", 404), UsageError, f"bucket {DEFAULT_BUCKET} does not exist"),
    (("NoSuchKey", 404), LTXMissingError, NAME),
    (("PreconditionFailed", 412), LTXMissingError, "replaced"),
    (("InvalidRequest", 400), UsageError, "InvalidRequest"),
    (("cut", 200), UnavailableError, "broke"),
    (("hang", 200), UnavailableError, "no answer"),
]


@pytest.mark.parametrize(("answer", "kind", "text"), ERRORS)
def test_a_failed_read_is_sorted_by_what_to_do_next(
    s3_server: S3Server, path: str, answer: tuple[str, int], kind: type[LitestreamError], text: str
) -> None:
    code, status = answer
    client = bare(s3_server.url(path), timeout_s=0.6 if code == "hang" else 30.0)
    s3_server.fail(code, status=status, kind="GET")
    with pytest.raises(kind) as raised:
        client.read_ltx(FILE)
    assert type(raised.value) is kind
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (("AccessDenied", 403), DeniedError, f"s3:ListBucket on {DEFAULT_BUCKET}"),
        (("NoSuchBucket", 404), UsageError, "does not exist"),
        (("NotFound", 404), UsageError, "does not speak S3"),
        (("SlowDown", 503), ThrottledError, "LIST"),
        (("cut", 200), UnavailableError, "LIST"),
    ],
)
def test_a_failed_listing_is_sorted_by_what_to_do_next(
    s3_server: S3Server, path: str, answer: tuple[str, int], kind: type[LitestreamError], text: str
) -> None:
    code, status = answer
    client = bare(s3_server.url(path))
    s3_server.fail(code, status=status, kind="LIST")
    with pytest.raises(kind) as raised:
        list(client.ltx_files(0))
    assert type(raised.value) is kind
    assert text in str(raised.value)


@pytest.mark.parametrize("size", [1000, 6 * 2**20])
def test_a_refused_write_names_the_permission_and_leaves_nothing(s3_server: S3Server, path: str, size: int) -> None:
    client = bare(s3_server.url(path))
    s3_server.fail("AccessDenied", status=403, kind="PUT", times=None)
    with pytest.raises(DeniedError, match="s3:PutObject"):
        write(client, 0, 5, data=ltx_bytes(5, 5, size=size))
    assert names(client, 0) == [(1, 1)]


def test_a_refused_deletion_names_the_permission(s3_server: S3Server, path: str) -> None:
    client = bare(s3_server.url(path))
    s3_server.fail("AccessDenied", status=403, kind="DELETE")
    with pytest.raises(DeniedError, match="s3:DeleteObject"):
        client.delete_ltx_files([FILE])


def test_a_403_for_a_missing_object_is_told_from_a_refusal_by_one_listing(s3_server: S3Server, path: str) -> None:
    client = bare(s3_server.url(path))
    s3_server.fail("AccessDenied", status=403, kind="GET", times=2)
    with pytest.raises(LTXMissingError):
        client.read_ltx(MISSING)
    with pytest.raises(DeniedError, match=r"needs s3:GetObject$"):
        client.read_ltx(FILE)
    assert count_by_kind(s3_server.requests()) == {"GET": 2, "LIST": 2}


def test_a_403_without_permission_to_list_names_both_permissions(s3_server: S3Server, path: str) -> None:
    s3_server.fail("AccessDenied", status=403, times=None)
    with pytest.raises(DeniedError, match=r"s3:GetObject, and s3:ListBucket"):
        bare(s3_server.url(path)).read_ltx(MISSING)


def test_a_dead_endpoint_is_an_error_that_names_it_within_the_timeout() -> None:
    url = "s3://key:secret@some-bucket/path?endpoint=http://127.0.0.1:9&region=us-east-1"
    with pytest.raises(UnavailableError, match=r"cannot connect \(http://127\.0\.0\.1:9\)"):
        replica_client(url, timeout_s=1.0).read_ltx(FILE)


def test_a_passing_failure_is_overcome(s3_server: S3Server, path: str) -> None:
    s3_server.fail("InternalError", status=500, times=2)
    assert replica_client(s3_server.url(path)).read_ltx(FILE) == ltx_bytes(1, 1)
    assert count_by_kind(s3_server.requests()) == {"GET": 3}


def test_a_bucket_without_a_path_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="begin with a slash"):
        replica_client("s3://key:secret@some-bucket")


# Regions


def regionless(server: S3Server, path: str) -> str:
    return server.url(path).replace("&region=us-east-1", "")


def test_the_bucket_is_followed_into_its_region_when_nobody_named_one(s3_server: S3Server, path: str) -> None:
    client = replica_client(regionless(s3_server, path))
    s3_server.fail("PermanentRedirect", status=301, kind="GET")
    s3_server.fail("Forbidden", status=403, kind="HEAD", headers={"x-amz-bucket-region": "eu-west-1"})
    assert client.read_ltx(FILE) == ltx_bytes(1, 1)
    assert client.read_ltx(FILE) == ltx_bytes(1, 1)
    regions = [request.authorization.split("/")[2:3] for request in s3_server.requests()]
    assert regions == [["us-east-1"], [], ["eu-west-1"], ["eu-west-1"]]
    assert "region=eu-west-1" in repr(client)


def test_a_named_region_that_is_wrong_is_an_error_with_the_right_one(s3_server: S3Server, path: str) -> None:
    message = "the region is wrong</Message><Region>eu-west-1</Region><Message>"
    s3_server.fail("AuthorizationHeaderMalformed", status=400, message=message)
    with pytest.raises(UsageError, match=r"is in region eu-west-1, not us-east-1"):
        bare(s3_server.url(path)).read_ltx(FILE)
    assert len(s3_server.requests()) == 1


def test_a_region_that_nobody_tells_is_asked_of_the_user(s3_server: S3Server, path: str) -> None:
    s3_server.fail("PermanentRedirect", status=301, kind="GET")
    s3_server.fail("Forbidden", status=403, kind="HEAD")
    with pytest.raises(UsageError, match="another region"):
        bare(regionless(s3_server, path)).read_ltx(FILE)


def test_requests_that_hear_of_the_wrong_region_at_once_all_move(s3_server: S3Server, path: str) -> None:
    bucket = S3Bucket(s3_config(parse_replica_url(regionless(s3_server, path)), {}, {}))
    count = 10
    all_sent = threading.Barrier(count)
    answer = "status code: 400 <Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region>"

    def request(store: S3Store, attempts: Iterator[int]) -> str:
        if next(attempts) == 0:
            all_sent.wait(timeout=60)
            raise BaseError(answer)
        return str(store.config["region"])

    with ThreadPoolExecutor(count) as pool:
        calls = [pool.submit(bucket.call, "read", request, itertools.count()) for _ in range(count)]
        assert [call.result(timeout=60) for call in calls] == ["eu-west-1"] * count


def test_clients_of_one_bucket_under_the_same_settings_share_what_reaches_it(s3_server: S3Server, path: str) -> None:
    own = "&concurrency=7"  # no client of another test has that
    urls = [s3_server.url(f"{path}/{number}") + own for number in (1, 2)]
    urls.append(f"{s3_server.url(path)}{own}&sign-payload=false")
    first, second, other = (S3Bucket(s3_config(parse_replica_url(url), {}, {})) for url in urls)
    for bucket in (first, second, other):
        bucket.open()
    store = weakref.ref(stores_of(first))
    assert stores_of(second) is store()
    assert stores_of(other) is not store()
    first.close()
    assert not first.is_open
    assert second.is_open
    assert stores_of(second) is store()
    second.close()
    assert store() is None


def stores_of(bucket: S3Bucket) -> S3Stores:
    assert bucket._held is not None
    return bucket._held


def test_a_region_that_stays_wrong_is_not_tried_for_ever(s3_server: S3Server, path: str) -> None:
    message = "the region is wrong</Message><Region>eu-west-1</Region><Message>"
    s3_server.fail("AuthorizationHeaderMalformed", status=400, message=message, times=None)
    client = bare(regionless(s3_server, path))
    for tried in (2, 3):
        with pytest.raises(UsageError, match="eu-west-1"):
            client.read_ltx(FILE)
        assert len(s3_server.requests()) == tried


# Credentials


def sent_key(server: S3Server) -> str:
    return server.requests()[-1].authorization.split("Credential=")[-1].partition("/")[0]


def test_keys_of_the_url_go_before_those_of_the_environment(
    s3_server: S3Server, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    replica_client(s3_server.url(path)).read_ltx(FILE)
    assert sent_key(s3_server) == ACCESS_KEY_ID
    assert "HTTP_X_AMZ_SECURITY_TOKEN" not in s3_server.requests()[-1].headers
    replica_client(s3_server.url(path, keys=False)).read_ltx(FILE)
    assert sent_key(s3_server) == "ENVIRONMENT"
    assert s3_server.requests()[-1].headers["HTTP_X_AMZ_SECURITY_TOKEN"] == TOKEN


def test_litestreams_own_variables_are_read(s3_server: S3Server, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITESTREAM_ACCESS_KEY_ID", "LITESTREAM")
    monkeypatch.setenv("LITESTREAM_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LITESTREAM_S3_ENDPOINT", s3_server.endpoint)
    replica_client(f"s3://{DEFAULT_BUCKET}/{path}").read_ltx(FILE)
    assert sent_key(s3_server) == "LITESTREAM"


def test_a_boto3_session_gives_keys_token_and_region(s3_server: S3Server, path: str) -> None:
    session = boto3.Session("SESSION", "secret", TOKEN, region_name="eu-north-1")
    url = regionless(s3_server, path).replace(s3_server.url("").partition("@")[0] + "@", "s3://")
    replica_client(url, boto3_session=session).read_ltx(FILE)
    assert sent_key(s3_server) == "SESSION"
    request = s3_server.requests()[-1]
    assert request.headers["HTTP_X_AMZ_SECURITY_TOKEN"] == TOKEN
    assert "/eu-north-1/s3/" in request.authorization


def test_a_profile_is_looked_up_by_boto3(
    s3_server: S3Server, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[work]\naws_access_key_id = PROFILE\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    replica_client(s3_server.url(path, keys=False) + "&profile=work").read_ltx(FILE)
    assert sent_key(s3_server) == "PROFILE"
    with pytest.raises(UsageError, match="nowhere"):
        replica_client(s3_server.url(path, keys=False) + "&profile=nowhere").init()


def test_no_credentials_are_an_error_at_once(s3_server: S3Server, path: str) -> None:
    with pytest.raises(DeniedError, match="AWS_ACCESS_KEY_ID"):
        replica_client(s3_server.url(path, keys=False)).init()
    assert s3_server.requests() == []


def test_a_public_bucket_needs_no_signature(s3_server: S3Server, path: str) -> None:
    client = replica_client(s3_server.url(path, keys=False) + "&anonymous=true")
    with pytest.raises(DeniedError):  # this bucket is not public
        client.read_ltx(FILE)
    assert {request.authorization for request in s3_server.requests()} == {""}


def test_a_session_whose_login_ran_out_is_denied_with_its_own_words(s3_server: S3Server, path: str) -> None:
    class Session:
        region_name = None

        def get_credentials(self) -> "Session":
            return self

        def get_frozen_credentials(self) -> object:
            msg = "Token has expired and refresh failed"
            raise RuntimeError(msg)

    with pytest.raises(DeniedError, match="Token has expired"):
        replica_client(s3_server.url(path, keys=False), boto3_session=Session()).read_ltx(FILE)


# Secrets


def test_no_secret_is_in_any_error_or_repr(s3_server: S3Server, path: str) -> None:
    token, key = TOKEN, base64.b64encode(b"k" * 32).decode()
    client = bare(s3_server.url(path), session_token=token, sse_customer_key=key, timeout_s=2.0)
    leaky = f"StringToSign x-amz-security-token:{token} {SECRET_ACCESS_KEY} {key}"
    calls: list[Callable[[], object]] = [
        lambda: client.read_ltx(FILE),
        lambda: list(client.ltx_files(0)),
        lambda: write(client, 0, 1),
        lambda: client.delete_ltx_files([FILE]),
    ]
    texts = [repr(client), repr(getattr(client, "config", None))]
    for code, status in [("SignatureDoesNotMatch", 403), ("AccessDenied", 403), ("InternalError", 500), ("Odd", 400)]:
        for call in calls:
            s3_server.fail(code, status=status, times=None, message=leaky)
            with pytest.raises(LitestreamError) as raised:
                call()
            s3_server.reset()
            error: BaseException | None = raised.value
            texts.append("".join(traceback.format_exception(raised.value)))
            while error is not None:  # also what no traceback shows
                texts.append(repr(error))
                error = error.__cause__ or error.__context__
    for secret in [token, SECRET_ACCESS_KEY, key]:
        assert [text for text in texts if secret in text] == []


# Processes


def run(script: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_native_libraries_and_boto3_are_loaded_only_when_needed(s3_server: S3Server, path: str) -> None:
    script = """
import sys
from replication.client.url import replica_client
from replication.ltx.file_info import FileInfo
client = replica_client(sys.argv[1])
print("obstore" in sys.modules, "boto3" in sys.modules)
client.read_ltx(FileInfo(level=0, min_txid=1, max_txid=1))
print("obstore" in sys.modules, "boto3" in sys.modules)
"""
    assert run(script, s3_server.url(path)).split() == ["False", "False", "True", "False"]


def test_a_child_forked_after_the_first_use_is_refused_and_one_forked_before_works(
    s3_server: S3Server, path: str
) -> None:
    script = """
import os, sys, warnings
from replication.client.url import replica_client
from replication.ltx.file_info import FileInfo
warnings.simplefilter("ignore")
info = FileInfo(level=0, min_txid=1, max_txid=1)
client = replica_client(sys.argv[1])
def child():
    if os.fork() == 0:
        for each in client, replica_client(sys.argv[1]):
            try:
                print(each.read_ltx(info, 0, 4), flush=True)
            except Exception as error:
                print(type(error).__name__, "fork" in str(error), flush=True)
        os._exit(0)
    os.wait()
child()
client.read_ltx(info)
child()
"""
    assert run(script, s3_server.url(path)).splitlines() == ["b'LTX1'", "b'LTX1'", "UsageError True", "UsageError True"]
