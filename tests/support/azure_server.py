"""An Azure Blob server on loopback for tests: azurite, with blobs and SAS tokens of the tests' own making.

    with AzureServer(directory) as server:
        client = replica_client(server.url("app"))

Requests here are signed by our own lines, so that the client's are not tested with themselves.
"""

import base64
import hashlib
import hmac
import http.client
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.support.servers import ServerProcess, find_server, free_port

ACCOUNT = "devstoreaccount1"
# azurite's own, published in its README.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
DEFAULT_CONTAINER = "test-container"
VERSION = "2021-08-06"
EXPIRY = "2100-01-01T00:00:00Z"
FILLERS = 8
TIMEOUT_S = 60.0
BLOB = {"x-ms-blob-type": "BlockBlob"}


class AzureServer(ServerProcess):
    """The server, seen from the tests' process."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        command = [find_server("azurite-blob"), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        command += ["--location", str(directory), "--silent", "--disableTelemetry"]
        super().__init__(command, port=port, log_path=directory / "azurite.log")

    def start(self) -> None:
        """Start the process; it listens when this returns, and the container `DEFAULT_CONTAINER` is there."""
        super().start()
        self._request("PUT", DEFAULT_CONTAINER, {"restype": "container"})

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def url(self, path: str, *, container: str = DEFAULT_CONTAINER, port: int | None = None, key: bool = True) -> str:
        """Return a replica URL; with `key` it carries the account key. A proxy may listen at another port."""
        user = ACCOUNT + (f":{quote(ACCOUNT_KEY, safe='')}" if key else "")
        return f"abs://{user}@{container}/{path}?endpoint=http://127.0.0.1:{port or self.port}/{ACCOUNT}"

    def fill(self, blobs: Iterable[tuple[str, bytes]]) -> None:
        """Store blobs, without metadata."""
        rows = list(blobs)

        def put(share: list[tuple[str, bytes]]) -> None:
            with self._connection() as connection:
                for name, data in share:
                    self._request("PUT", f"{DEFAULT_CONTAINER}/{name}", {}, data, connection=connection)

        with ThreadPoolExecutor(FILLERS) as pool:
            list(pool.map(put, [rows[number::FILLERS] for number in range(FILLERS)]))

    def metadata(self, name: str) -> dict[str, str]:
        """Return the metadata of a blob, and its content type."""
        answer = self._request("HEAD", f"{DEFAULT_CONTAINER}/{name}", {})
        found = {key.removeprefix("x-ms-meta-"): value for key, value in answer.items() if "x-ms-meta-" in key}
        return {**found, "content-type": answer["content-type"]}

    def sas_token(self, permissions: str, *, container: str = DEFAULT_CONTAINER, expiry: str = EXPIRY) -> str:
        """Return a token for a container that allows `permissions` only, such as `rl`."""
        resource = f"/blob/{ACCOUNT}/{container}"
        signed = [permissions, "", expiry, resource, "", "", "", VERSION, "c", "", "", "", "", "", "", ""]
        return urlencode({"sp": permissions, "se": expiry, "sv": VERSION, "sr": "c", "sig": _sign("\n".join(signed))})

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes = b"",
        *,
        connection: http.client.HTTPConnection | None = None,
    ) -> dict[str, str]:
        """Send a request signed with the account key, and return the answer's headers."""
        if connection is None:
            with self._connection() as own:
                return self._request(method, path, query, body, connection=own)
        sent = {
            **(BLOB if body else {}),
            "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
            "x-ms-version": VERSION,
        }
        target = f"/{ACCOUNT}/{path}"
        lines = [method, "", "", str(len(body) or ""), *[""] * 8]
        lines += [f"{name}:{value}" for name, value in sorted(sent.items())]
        lines += [f"/{ACCOUNT}{target}", *[f"{name}:{value}" for name, value in sorted(query.items())]]
        sent["Authorization"] = f"SharedKey {ACCOUNT}:{_sign(chr(10).join(lines))}"
        connection.request(method, f"{target}?{urlencode(query)}".rstrip("?"), body or None, sent)
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {data!r}"
        return {name.lower(): value for name, value in answer.getheaders()}

    def _connection(self) -> closing[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S))


def _sign(text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)).decode()
