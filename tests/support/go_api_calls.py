"""A call of ours for each function of the Go package and each method of its small types, and what the call gives.

Those of databases, replicas and stores are in `go_api_db_calls`.
"""

import io
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta

import litestream
from litestream import TXID, CompactionLevel, CompactionLevels
from tests.support.go_api_parts import NAME, ROWS, Parts

Call = tuple[Callable[[Parts], object], object]
"""What is called, and what comes of it."""

ARN = "arn:aws:s3:us-east-2:123456789012:accesspoint/name"
LEVEL = CompactionLevel(1, 30.0)
LEVELS = litestream.DEFAULT_COMPACTION_LEVELS
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=31)
WORDS = bytes([0, 0, 0, 1, 0, 0, 0, 2])
NAME_1 = "0000000000000001-0000000000000001.ltx"


def register(parts: Parts) -> object:
    registered = litestream.register_read_replica(NAME, parts.url, poll_interval_s=0.5, cache_size=-1)
    with registered, closing(litestream.connect(parts.url)) as connection:
        count = connection.execute("SELECT count(*) FROM item").get
        return registered is litestream.read_replica(NAME), registered.txid == parts.db.pos().txid, count


def unregister(parts: Parts) -> object:
    registered = litestream.register_read_replica(NAME, parts.url)
    litestream.unregister_read_replica(NAME)
    return registered.closed


def make_client(parts: Parts) -> object:
    client = litestream.replica_client(parts.url)
    return client.type, list(client.ltx_files(0)) == list(parts.client.ltx_files(0))


def register_factory(parts: Parts) -> object:
    factory: litestream.ReplicaClientFactory = lambda _url, _options: parts.client  # noqa: E731 - to give it the type
    litestream.register_replica_client("goapi", factory)
    return litestream.replica_client("goapi://host/path") is parts.client


def plan(parts: Parts) -> object:
    parts.commit_and_upload()
    return [info.max_txid for info in litestream.calc_restore_plan(parts.client)] == [1, 2]


def fetch_header(parts: Parts) -> object:
    header = litestream.fetch_ltx_header(parts.client, parts.newest)
    return header.max_txid, header.page_size


def fetch_index(parts: Parts) -> object:
    index = litestream.fetch_page_index(parts.client, parts.newest)
    return isinstance(index, litestream.PageIndex), 1 in index


def fetch_page(parts: Parts) -> object:
    info = parts.newest
    span = litestream.fetch_page_index(parts.client, info).find(1)
    assert span is not None
    page = litestream.fetch_page(parts.client, info, span, page_size=4096, pgno=1)
    return len(page), page[:15]


def write_file(parts: Parts) -> object:
    with parts.client.open_ltx_file(0, TXID(1), TXID(1)) as file:
        data = file.read()
    info = parts.client.write_ltx_file(3, TXID(1), TXID(1), io.BytesIO(data))
    return info.size == len(data), info == next(parts.client.ltx_files(3))


def delete_files(parts: Parts) -> object:
    parts.client.delete_ltx_files([parts.newest])
    return parts.files()


def delete_all(parts: Parts) -> object:
    parts.client.delete_all()
    return parts.files()


def open_file(parts: Parts) -> object:
    with parts.client.open_ltx_file(0, TXID(1), TXID(1), offset=0, size=4) as file:
        return file.read()


def restore_defaults(parts: Parts) -> object:
    output = parts.directory / "restored.db"
    result = litestream.restore(parts.url, output)
    return result.output == output, result.txid


def mismatch(error: Exception | None) -> litestream.PrevFrameMismatchError:
    raised = litestream.PrevFrameMismatchError("not that frame", offset=32)
    raised.__cause__ = error
    return raised


FUNCTIONS: Mapping[str, Call] = {
    "CreateVFSReadReplica()": (register, (True, True, ROWS)),
    "RemoveVFSReadReplica()": (unregister, True),
    "NewReplicaClientFromURL()": (make_client, ("file", True)),
    "RegisterReplicaClientFactory()": (register_factory, True),
    "CalcRestorePlan()": (plan, True),
    "FindLTXFiles()": (lambda p: litestream.find_ltx_files(p.client, 0, lambda info: info.min_txid > 1), []),
    "FetchLTXHeader()": (fetch_header, (1, 4096)),
    "FetchPageIndex()": (fetch_index, (True, True)),
    "FetchPage()": (fetch_page, (4096, b"SQLite format 3")),
    "Checksum()": (lambda _: litestream.checksum("big", 0, 0, WORDS), (1, 3)),
    "WALChecksum()": (lambda _: litestream.wal_checksum("little", 0, 0, WORDS[::-1]), (2, 3)),
    "LTXDir()": (lambda _: litestream.ltx_dir("a/b"), "a/b/ltx"),
    "LTXLevelDir()": (lambda _: litestream.ltx_level_dir("a/b", 9), "a/b/ltx/9"),
    "LTXFilePath()": (lambda _: litestream.ltx_file_path("a/b", 9, 1, 1), f"a/b/ltx/9/{NAME_1}"),
    "ParseReplicaURL()": (lambda _: litestream.parse_replica_url("s3://bucket/a").host, "bucket"),
    "ParseReplicaURLWithQuery()": (lambda _: litestream.parse_replica_url("s3://b/a?x=1").query, {"x": "1"}),
    "ReplicaTypeFromURL()": (lambda _: litestream.replica_type_from_url("webdavs://host/a"), "webdav"),
    "IsURL()": (lambda _: litestream.is_url("/a/b"), False),
    "CleanReplicaURLPath()": (lambda _: litestream.clean_replica_url_path("/a//b/"), "a/b"),
    "BoolQueryValue()": (lambda _: litestream.bool_query_value({"b": "yes"}, "a", "b"), True),
    "RegionFromS3ARN()": (lambda _: litestream.region_from_s3_arn(ARN), "us-east-2"),
    "IsBackblazeEndpoint()": (lambda _: litestream.is_backblaze_endpoint("s3.us-west-002.backblazeb2.com"), True),
    "IsCloudflareR2Endpoint()": (lambda _: litestream.is_cloudflare_r2_endpoint("x.r2.cloudflarestorage.com"), True),
    "IsDigitalOceanEndpoint()": (lambda _: litestream.is_digital_ocean_endpoint("nyc3.digitaloceanspaces.com"), True),
    "IsFilebaseEndpoint()": (lambda _: litestream.is_filebase_endpoint("s3.filebase.com"), True),
    "IsMinIOEndpoint()": (lambda _: litestream.is_minio_endpoint("localhost:9000"), True),
    "IsScalewayEndpoint()": (lambda _: litestream.is_scaleway_endpoint("s3.fr-par.scw.cloud"), True),
    "IsTigrisEndpoint()": (lambda _: litestream.is_tigris_endpoint("t3.storage.dev"), True),
    "NewRestoreOptions()": (restore_defaults, (True, 1)),
}

TYPES: Mapping[str, Call] = {
    "PrevFrameMismatchError.Error()": (lambda _: str(mismatch(None)), "not that frame"),
    "PrevFrameMismatchError.Unwrap()": (lambda _: str(mismatch(KeyError("cause")).__cause__), "'cause'"),
    "CompactionLevel.NextCompactionAt()": (lambda _: LEVEL.next_compaction_at(LATER), NOON + timedelta(minutes=1)),
    "CompactionLevel.PrevCompactionAt()": (lambda _: LEVEL.prev_compaction_at(LATER), NOON + timedelta(seconds=30)),
    "CompactionLevels.IsValidLevel()": (lambda _: [LEVELS.is_valid_level(n) for n in (3, 4, 9)], [True, False, True]),
    "CompactionLevels.Level()": (lambda _: LEVELS.level(1), LEVEL),
    "CompactionLevels.MaxLevel()": (lambda _: LEVELS.max_level(), 3),
    "CompactionLevels.NextLevel()": (lambda _: [LEVELS.next_level(n) for n in (0, 3, 9)], [1, 9, -1]),
    "CompactionLevels.PrevLevel()": (lambda _: [LEVELS.prev_level(n) for n in (0, 3, 9)], [-1, 2, 3]),
    "CompactionLevels.Validate()": (lambda _: CompactionLevels([CompactionLevel(0), LEVEL]).validate(), None),
    "ReplicaClient.Type()": (lambda p: p.client.type, "file"),
    "ReplicaClient.Init()": (lambda p: p.client.init(), None),
    "ReplicaClient.LTXFiles()": (lambda p: [info.max_txid for info in p.client.ltx_files(0)], [1]),
    "ReplicaClient.OpenLTXFile()": (open_file, b"LTX1"),
    "ReplicaClient.WriteLTXFile()": (write_file, (True, True)),
    "ReplicaClient.DeleteLTXFiles()": (delete_files, 0),
    "ReplicaClient.DeleteAll()": (delete_all, 0),
}
