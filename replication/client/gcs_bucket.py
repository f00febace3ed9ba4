"""One bucket of Google Cloud Storage as a client sees it: requests of the JSON API, with failures that are read.

Names are percent-encoded whole, slashes too. A condition on an object's generation goes with the request and is the
server's to check; of an emulator, which may know none, the generation is asked for before as well.

Source: cloud.google.com/storage/docs/json_api/v1/objects.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from replication.client.gcs_config import GCSConfig
from replication.client.gcs_credentials import GCSCredentials
from replication.client.gcs_errors import answer_error, json_answer
from replication.client.http_session import MAX_LISTING_SIZE, HTTPAnswer, HTTPSession
from replication.client.reader import Chunk
from replication.client.s3_time import parse_timestamp
from replication.errors import LitestreamError, LTXMissingError, UnavailableError
from replication.ltx.file_info import EPOCH

TIMESTAMP_KEY = "litestream-timestamp"
PAGE_SIZE = 1000  # objects of a listing's answer; more than that the server does not give
MAX_PAGES = 100_000
_LISTED = "nextPageToken,items(name,size,updated,generation,metadata)"

_OK = 200
_NO_CONTENT = 204
_UNAUTHENTICATED = 401
_NOT_FOUND = 404
_RANGE = 416


@dataclass(frozen=True, slots=True)
class GCSObject:
    """An object as a listing shows it; `created_at` is the time in its metadata, or else that of its upload."""

    name: str
    size: int
    created_at: datetime
    generation: str


class GCSBucket:
    """The bucket of one replica."""

    def __init__(self, config: GCSConfig) -> None:
        """Take the settings; nothing is connected yet.

        Raises:
            UsageError: credentials are needed, and google-auth is not installed.

        """
        self.config = config
        self._session = HTTPSession(timeout_s=config.timeout_s)
        self._credentials: GCSCredentials | None = None
        if not config.anonymous:
            self._credentials = GCSCredentials(path=config.credentials_path, timeout_s=config.timeout_s)

    def open(self) -> None:
        """Find credentials; no token is asked for."""
        if self._credentials is not None:
            self._credentials.load()

    def close(self) -> None:
        """Let go of the connections; it may be used again."""
        self._session.close()

    def list(self, prefix: str, start: str) -> Iterator[GCSObject]:
        """Yield the objects whose names begin with `prefix` and are not before `start`; one request for each 1,000.

        Raises:
            UsageError: there is no such bucket.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        query = {"startOffset": start} if start > prefix else {}
        for _ in range(MAX_PAGES):
            objects, token = self._page(prefix, query)
            yield from objects
            if not token:
                return
            if token == query.get("pageToken"):
                break
            query["pageToken"] = token
        msg = f"LIST {prefix}: the listing does not end"
        raise UnavailableError(msg)

    def list_page(self, prefix: str) -> Sequence[GCSObject] | None:
        """Return the objects whose names begin with `prefix`, or None if they are more than one request tells.

        Raises:
            UsageError, DeniedError, UnavailableError: as `list`.

        """
        objects, token = self._page(prefix, {})
        return None if token else objects

    def get(self, name: str, generation: str, start: int, end: int) -> Chunk:
        """Return a range of an object, cut short at its end, and its generation; only of that one, when one is given.

        Raises:
            LTXMissingError: there is no such object, or not that generation any more.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        query = {"alt": "media", **({"generation": generation} if generation else {})}
        url = self.url("/storage/v1", f"o/{quote(name, safe='')}", query)
        answer = self._authorized(lambda headers: self._session.get_range(url, start, end, headers=headers))
        if answer.status == _RANGE:
            return Chunk(b"", generation)
        if answer.status != _OK:
            raise self.error(answer, f"GET {name}", "storage.objects.get")
        found = answer.headers.get("x-goog-generation", generation)
        if generation and found != generation:
            msg = f"GET {name}: the object was replaced by another one"
            raise LTXMissingError(msg)
        return Chunk(answer.body, found)

    def generation(self, name: str) -> str:
        """Return the generation of an object, empty if there is none.

        Raises:
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        what = f"GET {name}"
        answer = self.send("GET", self.url("/storage/v1", f"o/{quote(name, safe='')}", {"fields": "generation"}))
        if answer.status == _NOT_FOUND:
            return ""
        if answer.status != _OK:
            raise self.error(answer, what, "storage.objects.get")
        return str(json_answer(answer, what).get("generation", ""))

    def delete(self, name: str) -> None:
        """Delete an object; one already gone is no error.

        Raises:
            UsageError: there is no such bucket.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        answer = self.send("DELETE", self.url("/storage/v1", f"o/{quote(name, safe='')}", {}))
        if answer.status in {_OK, _NO_CONTENT}:
            return
        error = self.error(answer, f"DELETE {name}", "storage.objects.delete")
        if not isinstance(error, LTXMissingError):
            raise error

    def url(self, api: str, path: str, query: Mapping[str, str]) -> str:
        """Return the URL of a request to the bucket."""
        bucket = quote(self.config.bucket, safe="")
        return f"{self.config.endpoint}{api}/b/{bucket}/{path}?{urlencode(query)}".rstrip("?")

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        limit: int | None = None,
    ) -> HTTPAnswer:
        """Return the answer to a request, whatever its status; a token goes to the bucket's own server only.

        Raises:
            DeniedError: there are no credentials, or they got no token.
            UnavailableError: no answer came, or not whole.

        """
        limits = {} if limit is None else {"limit": limit}

        def request(authorization: Mapping[str, str]) -> HTTPAnswer:
            given = {**(headers or {}), **authorization}
            return self._session.request(method, url, headers=given, content=content, **limits)

        return self._authorized(request) if url.startswith(f"{self.config.endpoint}/") else request({})

    def error(self, answer: HTTPAnswer, what: str, permission: str) -> LitestreamError:
        """Return the error to raise for an answer that was not expected."""
        return answer_error(
            answer, what=what, bucket=self.config.bucket, permission=permission, anonymous=self.config.anonymous
        )

    def _page(self, prefix: str, query: Mapping[str, str]) -> tuple[Sequence[GCSObject], str]:
        """Return the objects of one answer, and what the next one is asked for with, empty if there is none."""
        what = f"LIST {prefix}"
        query = {"prefix": prefix, "maxResults": str(PAGE_SIZE), "fields": _LISTED, **query}
        answer = self.send("GET", self.url("/storage/v1", "o", query), limit=MAX_LISTING_SIZE)
        if answer.status != _OK:
            raise self.error(answer, what, "storage.objects.list")
        page = json_answer(answer, what)
        try:
            objects = [_listed(item) for item in page.get("items", [])]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"{what}: expected a listing of objects, got something else"
            raise UnavailableError(msg) from error
        return objects, str(page.get("nextPageToken") or "")

    def _authorized(self, request: Callable[[Mapping[str, str]], HTTPAnswer]) -> HTTPAnswer:
        """Return the answer to a request; where its token was refused, ask once more with a new one."""
        if self._credentials is None:
            return request({})
        headers = self._credentials.headers()
        answer = request(headers)
        if answer.status == _UNAUTHENTICATED and self._credentials.forget(headers):
            answer = request(self._credentials.headers())
        return answer


def _listed(item: Mapping[str, object]) -> GCSObject:
    metadata = item.get("metadata") or {}
    text = metadata.get(TIMESTAMP_KEY, "") if isinstance(metadata, Mapping) else ""
    created_at = parse_timestamp(str(text)) or parse_timestamp(str(item.get("updated", ""))) or EPOCH
    return GCSObject(str(item["name"]), int(str(item["size"])), created_at, str(item["generation"]))
