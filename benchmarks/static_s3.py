"""A read-only S3 server on loopback that hands out files of any size at the speed of the disk cache.

    with StaticS3(directory, delay_ms=20) as server:    # `directory` has a directory for each bucket
        server.url("bucket", "path")

It is a process of its own, which knows just what a restore asks for: pages of LIST, HEAD, GET and ranges; objects are
sent by the kernel. Each request waits for the delay before it is answered. The server of the tests holds its objects in
memory and copies them for each range, which takes longer than a restore.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from benchmarks.systems import PROJECT

REGION = "us-east-1"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
MAX_KEYS = 1000  # of a page, as in S3
STOP_TIMEOUT_S = 10.0
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(slots=True)
class StaticS3:
    """The server, seen from the process that measures; a context manager."""

    root: Path
    delay_ms: float
    port: int = 0
    _process: subprocess.Popen[str] | None = None

    def url(self, bucket: str, path: str) -> str:
        """Return the URL of a replica there."""
        return f"s3://{bucket}/{path}?endpoint=http://127.0.0.1:{self.port}&region={REGION}&forcePathStyle=true"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.static_s3", self.root, "--delay-ms", str(self.delay_ms)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the S3 server did not start"
        self.port = int(line)
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        self._process.communicate(timeout=STOP_TIMEOUT_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    root: Path
    delay_s: float


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing: nobody reads it."""

    def _answer(self) -> None:
        time.sleep(self.server.delay_s)
        parts = urlsplit(self.path)
        path = self.server.root / unquote(parts.path).lstrip("/")
        if path.is_dir():
            self._list(path, {name: values[0] for name, values in parse_qs(parts.query).items()})
        elif path.is_file():
            self._send_object(path)
        else:
            self._send(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>", {})

    def _list(self, bucket: Path, query: dict[str, str]) -> None:
        after = query.get("continuation-token") or query.get("start-after", "")
        limit = min(int(query.get("max-keys", MAX_KEYS)), MAX_KEYS)
        found = [key for key in _keys(bucket, query.get("prefix", "")) if key > after]
        page = found[:limit]
        rows = "".join(_row(key, (bucket / key).stat()) for key in page)
        is_truncated = len(found) > limit
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if is_truncated else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket.name}</Name><KeyCount>{len(page)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
            f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        )
        self._send(200, body.encode(), {"Content-Type": "application/xml"})

    def _send_object(self, path: Path) -> None:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            size, start, end, status = found.st_size, 0, found.st_size, 200
            headers = {"ETag": _etag(found), "Last-Modified": formatdate(found.st_mtime, usegmt=True)}
            headers["Accept-Ranges"] = "bytes"
            if wanted := _RANGE.fullmatch(self.headers.get("Range", "")):
                status, start = 206, int(wanted[1])
                end = min(size, int(wanted[2]) + 1) if wanted[2] else size
                if start >= size:
                    self._send(416, b"<Error><Code>InvalidRange</Code></Error>", {})
                    return
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            self._send_head(status, end - start, headers)
            if self.command == "GET":
                self.wfile.flush()
                self.connection.sendfile(file, start, end - start)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._send_head(status, len(body), headers)
        if self.command == "GET":
            self.wfile.write(body)

    def _send_head(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()


def _keys(bucket: Path, prefix: str) -> Iterator[str]:
    directory = bucket / prefix.rpartition("/")[0]
    found = (str(path.relative_to(bucket)) for path in sorted(directory.rglob("*")) if path.is_file())
    return (key for key in found if key.startswith(prefix))


def _row(key: str, found: os.stat_result) -> str:
    modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(found.st_mtime))
    return (
        f"<Contents><Key>{escape(quote(key, safe='/'))}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>{escape(_etag(found))}</ETag><Size>{found.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _etag(found: os.stat_result) -> str:
    return f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"'


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the buckets in a directory.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of each request")
    options = parser.parse_args()
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.root, server.delay_s = options.root.resolve(), options.delay_ms / 1000
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        sys.stdin.read()  # it ends when whoever started this process is gone
        server.shutdown()


if __name__ == "__main__":
    main()
