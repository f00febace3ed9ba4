"""The S3 server of the tests fails as real ones do: refused, dropped and lost requests, and never half an object."""

import http.client
import socket

import pytest

from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, REGION, S3Server
from tests.support.waiting import wait_until

HEAD = f"PUT /{DEFAULT_BUCKET}/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"

SCOPE = f"{ACCESS_KEY_ID}/20200101/{REGION}/s3/aws4_request"
HEADERS = {"Authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE}, Signature=0"}


def put(server: S3Server, key: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("PUT", f"/{DEFAULT_BUCKET}/{key}", b"data", HEADERS)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_dropped_request_has_no_effect_and_a_lost_one_has_all_of_it(s3_server: S3Server) -> None:
    s3_server.fail("drop", key="dropped")
    s3_server.fail("lose", key="lost")
    for key in ("dropped", "lost"):
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            put(s3_server, key)
    assert "dropped" not in s3_server.objects()
    assert s3_server.objects()["lost"]["size"] == 4
    assert [(request.status, request.end) for request in s3_server.requests()] == [(0, None), (0, None)]


def test_an_upload_whose_sender_died_leaves_no_object(s3_server: S3Server) -> None:
    with socket.create_connection(("127.0.0.1", s3_server.port), timeout=10) as connection:
        connection.sendall(HEAD.encode() + bytes(500))
    wait_until(lambda: bool(s3_server.requests()), "the request", timeout_s=10)
    assert put(s3_server, "whole") == 200
    assert "half" not in s3_server.objects()


def test_a_share_of_requests_fails_at_random(s3_server: S3Server) -> None:
    def failures() -> list[bool]:
        failed = []
        for _ in range(40):
            try:
                failed.append(put(s3_server, "random") != 200)
            except OSError:
                failed.append(True)
        return failed

    s3_server.fail_at_random(0.5, seed=1)
    first = failures()
    assert 8 < sum(first) < 32
    s3_server.fail_at_random(0.5, seed=1)
    assert failures() == first
    s3_server.fail_at_random(0.0)
    assert sum(failures()) == 0
