"""Serve point queries from a replica while it follows: python examples/edge_server.py URL SQL PORT.

SQL has one parameter, the path of the request: with 'SELECT * FROM item WHERE id = ?', GET /7 answers with item 7.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, local
from typing import Any
from urllib.parse import unquote

import apsw

import litestream

WORKERS, MAX_ROWS = 4, 100
MAX_REQUESTS = 64  # further ones wait in the kernel's queue
HERE = local()  # one connection per thread; all share one poller and one page cache


class Server(ThreadingHTTPServer):
    def __init__(self, url: str, sql: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url, self.sql = url, f"SELECT * FROM ({sql}) LIMIT {MAX_ROWS}"  # noqa: S608 - the operator's own
        self.slots, self.pool = BoundedSemaphore(MAX_REQUESTS), ThreadPoolExecutor(WORKERS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.slots.acquire()
        answered = self.pool.submit(self.process_request_thread, request, client_address)
        answered.add_done_callback(lambda _: self.slots.release())

    def look_up(self, key: str) -> dict[str, Any]:
        if not hasattr(HERE, "connection"):
            HERE.connection = litestream.connect(self.url, poll_interval_s=0.5, timeout_s=5, max_staleness_s=60)
        with HERE.connection:  # rows and TXID belong together
            rows = HERE.connection.execute(self.sql, (key,)).fetchall()
            return {"rows": rows, "txid": HERE.connection.pragma("litestream_txid")}


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 5  # seconds that a slow client may keep a worker

    def do_GET(self) -> None:
        try:
            status, answer = 200, self.server.look_up(unquote(self.path.strip("/")))
        except apsw.Error as error:
            status, answer = 503, {"error": str(error)}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer, default=bytes.hex).encode())


if __name__ == "__main__":
    with Server(sys.argv[1], sys.argv[2], int(sys.argv[3])) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
