"""The lease of a replica on a WebDAV server, which checks the condition of a PUT itself where it gives ETags.

Where it gives none, or weak ones, the content is compared before it is replaced: two writers that do so in the same
instant are not kept apart.
"""

from replication.client.http_session import HTTPSession, status_error
from replication.client.web import MISSING, OK
from replication.client.web_config import WebConfig
from replication.client.webdav_requests import WebDAVWriter
from replication.lease import LEASE_NAME, StoredLease, content_etag


class WebDAVLeaseStore:
    """A lease on a WebDAV server."""

    def __init__(self, config: WebConfig, session: HTTPSession) -> None:
        """Take where the replica is, and the connections to its server."""
        self._config = config
        self._session = session
        self._writer = WebDAVWriter(config, session)
        self._path = f"{config.path}/{LEASE_NAME}".lstrip("/")

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        answer = self._session.request("GET", self._config.url(self._path))
        if answer.status in MISSING:
            return None
        if answer.status != OK:
            what = f"GET /{self._path}"
            raise status_error(what, answer, "permission to read files")
        return StoredLease(answer.body, _strong(answer.headers.get("etag", "")) or content_etag(answer.body))

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none."""
        return self._put(data, {"If-None-Match": "*"})

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag."""
        if _strong(etag):
            return self._put(data, {"If-Match": etag})
        stored = self.read()
        return self._put(data, {}) if stored is not None and stored.etag == etag else None

    def _put(self, data: bytes, condition: dict[str, str]) -> str | None:
        answer = self._writer.put(self._path, [data], len(data), condition)
        if answer is None:
            return None
        if etag := _strong(answer.headers.get("etag", "")):
            return etag
        stored = self.read()  # another one may have come already
        return stored.etag if stored is not None and stored.data == data else None


def _strong(etag: str) -> str:
    """Return an ETag that a condition can be made of, empty if it is none."""
    return etag if etag.startswith('"') else ""
