"""The server's side of `static_s3`: pages of LIST, HEAD, GET and ranges of the files below a directory.

It prints its port once it listens, then takes one JSON command per line of its standard input, and ends with that. A
thread for each connection reads requests, waits for the delay, and lets the kernel send the file, which waits for its
turn on the link. The requests are read by hand: the standard library's server takes longer to read one than SQLite
needs for what comes back.
"""

import argparse
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

from benchmarks.link import PIECE_SIZE, Link

MAX_KEYS = 1000  # of a page, as in S3
MAX_HEAD_SIZE = 64 * 2**10  # bytes of a request's head
SMALL = PIECE_SIZE  # bytes that go out with the head, in one call
_RANGE = re.compile(rb"\r\nrange:\s*bytes=(\d*)-(\d*)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:\s*([1-9]\d*)", re.IGNORECASE)
_REASONS = {200: "OK", 206: "Partial Content", 404: "Not Found", 405: "Not Allowed", 416: "Range Not Satisfiable"}
_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{0}</Code><Message>{0}</Message></Error>'
_TEMPORARY = ".tmp"  # a replica's file that is being written is no object yet


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    root: str
    delay_s: float
    link: Link
    log: list[list[Any]]  # of [kind, bytes, start, end]


class _Connection(BaseRequestHandler):
    request: socket.socket
    server: _Server

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        try:
            while True:
                while (end := received.find(b"\r\n\r\n")) < 0:
                    piece = self.request.recv(MAX_HEAD_SIZE)
                    if not piece or len(received) > MAX_HEAD_SIZE:
                        return
                    received += piece
                head, received = received[:end], received[end + 4 :]
                if not self._answer(head):
                    return
        except ConnectionError:
            return  # whoever asked has gone

    def _answer(self, head: bytes) -> bool:
        """Answer a request, and say whether the connection can go on."""
        method, target = head[: head.index(b"\r\n")].decode().split(" ")[:2]
        raw_path, _, query = target.partition("?")
        path = self.server.root + unquote(raw_path)
        is_list = "/" not in raw_path.strip("/")  # a bucket alone
        entry = ["LIST" if is_list else method, 0, time.monotonic(), None]
        self.server.log.append(entry)
        time.sleep(self.server.delay_s)
        if method not in {"GET", "HEAD"} or _LENGTH.search(head):
            self._send(entry, 405, _ERROR.format("MethodNotAllowed").encode(), "")
            return False
        if is_list:
            body = list_bucket(Path(path), {name: values[0] for name, values in parse_qs(query).items()})
            self._send(entry, 200, body.encode(), "Content-Type: application/xml\r\n")
            return True
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - once for each page
                self._send_file(entry, file.fileno(), head)
        except (FileNotFoundError, IsADirectoryError):
            self._send(entry, 404, _ERROR.format("NoSuchKey").encode(), "")
        return True

    def _send_file(self, entry: list[Any], file: int, head: bytes) -> None:
        found = os.fstat(file)
        size, start, end, status, headers = found.st_size, 0, found.st_size, 200, ""
        if wanted := _RANGE.search(head):
            status = 206
            if wanted[1]:
                start, end = int(wanted[1]), min(size, int(wanted[2]) + 1) if wanted[2] else size
            else:
                start = max(size - int(wanted[2]), 0)
            if start >= size:
                self._send(entry, 416, _ERROR.format("InvalidRange").encode(), "")
                return
            headers = f"Content-Range: bytes {start}-{end - 1}/{size}\r\n"
        headers += f"ETag: {_etag(found)}\r\nLast-Modified: {formatdate(found.st_mtime, usegmt=True)}\r\n"
        if entry[0] == "HEAD":
            self._send_head(entry, status, end - start, headers, b"")
        elif end - start <= SMALL:
            self._send_head(entry, status, end - start, headers, os.pread(file, end - start, start))
        else:
            self._send_head(entry, status, end - start, headers, b"")
            through = None
            while start < end:
                piece_end = start + self.server.link.piece_size(end - start)
                through = self.server.link.carry(piece_end - start, through)
                while start < piece_end:
                    start += os.sendfile(self.request.fileno(), file, start, piece_end - start)

    def _send(self, entry: list[Any], status: int, body: bytes, headers: str) -> None:
        self._send_head(entry, status, len(body), headers, b"" if entry[0] == "HEAD" else body)

    def _send_head(self, entry: list[Any], status: int, size: int, headers: str, body: bytes) -> None:
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}Accept-Ranges: bytes\r\nContent-Length: {size}\r\n\r\n"
        )
        self.server.link.carry(len(body))
        entry[1] = 0 if entry[0] == "HEAD" else size
        entry[3] = time.monotonic()  # whatever waited for the answer begins after that
        self.request.sendall(head.encode() + body)


def list_bucket(bucket: Path, query: dict[str, str]) -> str:
    """Return one page of ListObjectsV2."""
    after = query.get("continuation-token") or query.get("start-after", "")
    limit = min(int(query.get("max-keys", MAX_KEYS)), MAX_KEYS)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    rows: dict[str, str] = {}  # by key, or by what the keys of a group have in common
    for key, found in _keys(bucket, prefix):
        if key <= after:
            continue
        group, parted, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        name = prefix + group + parted if parted else key
        if name <= after:
            continue
        rows[name] = f"<CommonPrefixes><Prefix>{_text(name)}</Prefix></CommonPrefixes>" if parted else _row(key, found)
    page = list(rows)[:limit]
    is_truncated = len(rows) > limit
    token = f"<NextContinuationToken>{_text(page[-1])}</NextContinuationToken>" if is_truncated else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket.name}</Name><Prefix>{_text(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
        f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{str(is_truncated).lower()}</IsTruncated>{token}"
        f"{''.join(rows[name] for name in page)}</ListBucketResult>"
    )


def _keys(bucket: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the keys that begin with a prefix, sorted, with what is known of the files."""
    start = bucket / prefix.rpartition("/")[0]
    waiting = [start] if start.is_dir() else []
    found: list[tuple[str, os.stat_result]] = []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(Path(entry.path))
                elif not entry.name.endswith(_TEMPORARY):
                    found.append((os.path.relpath(entry.path, bucket), entry.stat()))
    return iter(sorted(pair for pair in found if pair[0].startswith(prefix)))


def _row(key: str, found: os.stat_result) -> str:
    seconds, milliseconds = divmod(found.st_mtime_ns // 10**6, 1000)
    modified = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03}Z"
    return (
        f"<Contents><Key>{_text(key)}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>{escape(_etag(found))}</ETag><Size>{found.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _text(name: str) -> str:
    return escape(quote(name, safe="/"))


def _etag(found: os.stat_result) -> str:
    return f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"'


def obey(server: _Server, command: str, *arguments: Any) -> Any:  # noqa: ANN401 - what JSON holds
    """Do what a line of the standard input says."""
    if command == "delay":
        server.delay_s = arguments[0] / 1000
    elif command == "reset":
        server.log = []
    elif command == "log":
        return list(server.log)
    else:
        sys.exit(f"unknown command {command}")
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the buckets in a directory.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of each request")
    parser.add_argument("--link-mb-s", type=float, default=0.0, help="10**6 bytes of all bodies; 0: unlimited")
    options = parser.parse_args()
    with _Server(("127.0.0.1", 0), _Connection) as server:
        server.root, server.delay_s, server.log = str(options.root.resolve()), options.delay_ms / 1000, []
        server.link = Link(options.link_mb_s * 1e6)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        for line in sys.stdin:  # it ends when whoever started this process is gone
            print(json.dumps(obey(server, *json.loads(line))), flush=True)
        server.shutdown()


if __name__ == "__main__":
    main()
