"""The server's side of `gcs_server`: the emulator on one port, and before it the front on another.

Run as `python -m tests.support.gcs_server_process PORT EMULATOR_PORT`. The emulator writes down all it has after each
change; kept in memory that serves nothing, and 2,500 files would take minutes.
"""

import base64
import logging
import sys
from typing import Any

from cheroot import wsgi
from gcp_storage_emulator.handlers import objects  # type: ignore[import-untyped]
from gcp_storage_emulator.server import create_server  # type: ignore[import-untyped]

from tests.support.gcs_front import Front

DEFAULT_BUCKET = "test-bucket"
THREADS = 24


class FilledFront(Front):
    """A front that stores objects without a request for each."""

    def do_fill(self, bucket: str, rows: list[tuple[str, str, dict[str, str]]]) -> None:
        for name, encoded, metadata in rows:
            data = base64.b64decode(encoded)
            described = objects._make_object_resource(
                "http://127.0.0.1", bucket, name, "application/octet-stream", str(len(data)), {"metadata": metadata}
            )
            self._storage.create_file(bucket, name, data, objects._checksums(data, described))


class _QuietServer(wsgi.Server):
    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:  # noqa: FBT001, FBT002
        """Say nothing: broken connections are what the tests ask for."""


def main() -> None:
    """Serve until ended."""
    port, emulator_port = int(sys.argv[1]), int(sys.argv[2])
    logging.disable()
    emulator: Any = create_server("127.0.0.1", emulator_port, in_memory=True, default_bucket=DEFAULT_BUCKET)
    storage = emulator._storage
    storage._write_config_to_file = lambda: None
    emulator.start()
    server = _QuietServer(
        ("127.0.0.1", port), FilledFront(storage, emulator_port), numthreads=THREADS, request_queue_size=256
    )
    server.safe_start()


if __name__ == "__main__":
    main()
