"""From a URL to a client; what URLs mean to the Go program, and so to us, is in `test_url_table.py`."""

import re

import pytest

from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import register_replica_client, replica_client
from replication.client.url_parse import ReplicaURL, parse_replica_url
from replication.errors import UsageError


def test_query_and_user_are_decoded_and_not_shown() -> None:
    parsed = parse_replica_url("s3://key:se%2Fcret@bucket/a?region=x&region=y&empty=")
    assert (parsed.username, parsed.password) == ("key", "se/cret")
    assert parsed.query == {"region": "x", "empty": ""}
    assert "cret" not in repr(parsed)
    assert "region" not in repr(parsed)


def test_a_broken_url_is_told_without_its_secrets() -> None:
    with pytest.raises(UsageError) as raised:
        parse_replica_url("s3://key:secret@host:port/a?sseCustomerKey=secret")
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_the_scheme_chooses_the_client() -> None:
    client = replica_client("file:///a/b", timeout_s=5)
    assert isinstance(client, FileReplicaClient)
    assert str(client.path) == "/a/b"
    s3 = replica_client("s3://key:secret@bucket/a")
    assert isinstance(s3, RetryingClient)
    assert (s3.type, s3.accurate_list_times) == ("s3", False)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("/a/b", "file:///a/b"),
        ("a/b", "file:///absolute/path"),
        ("foo://h/a", "known are abs://"),
    ],
)
def test_a_url_without_a_client_says_what_there_is(url: str, text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)):
        replica_client(url)


def test_an_unknown_option_of_a_file_replica_is_named() -> None:
    with pytest.raises(UsageError, match=r"'timeout'; did you mean timeout_s\?"):
        replica_client("file:///a", timeout=5)


def test_a_scheme_can_be_registered() -> None:
    seen: list[tuple[ReplicaURL, dict[str, object]]] = []

    def make(url: ReplicaURL, options: object) -> MemoryReplicaClient:
        assert isinstance(options, dict)
        seen.append((url, options))
        return MemoryReplicaClient()

    register_replica_client("mine", make)
    assert replica_client("mine://host/a?x=1", size=3).type == "memory"
    assert seen == [(ReplicaURL("mine", "host", "a", {"x": "1"}), {"size": 3})]
