"""What Google Cloud Storage does and its emulator does not, as a WSGI application before the emulator.

Conditions on generations, reads of one generation, listings from an offset and in pages, selected fields, ranges past
the end (416), requests without the right token (401), the state of an upload that is done, and Google's words for a
bucket that is not there. One request at a time is checked and passed on, so that no two of them meet one condition.
"""

import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, unquote

TIMEOUT_S = 30.0
MAX_PAGE = 1000  # objects; more than that Google does not give
_OBJECT = re.compile(r"/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<name>[^/?]+)")
_LISTING = re.compile(r"/storage/v1/b/[^/]+/o")
_UPLOAD = re.compile(r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Refused(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, status: int, reason: str, message: str = "as Google does") -> None:
        super().__init__(reason)
        error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
        self.answer = json_answer({"error": error}, status)


class Front:
    """The application; `storage` is the emulator's own, only looked at."""

    def __init__(self, storage: Any, emulator_port: int) -> None:  # noqa: ANN401
        self._storage = storage
        self._emulator_port = emulator_port
        self._lock = threading.Lock()
        self._log: list[dict[str, Any]] = []  # guarded by _lock
        self._sessions: dict[str, tuple[str, str, str | None]] = {}  # guarded by _lock; bucket, name, condition
        self._finished: dict[str, Answer] = {}  # guarded by _lock; of sessions
        self._token: str | None = None
        self._kept_at_most: int | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        path = environ["REQUEST_URI"].decode() if isinstance(environ["REQUEST_URI"], bytes) else environ["REQUEST_URI"]
        query = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        with self._lock:
            if path.startswith("/-/"):
                answer = json_answer(getattr(self, f"do_{path[3:]}")(**json.loads(body or b"{}")))
            else:
                answer = self._logged(environ, path, query, body)
        headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        start_response(f"{answer.status} {http.client.responses.get(answer.status, 'Unknown')}", headers)
        return [answer.body]

    def do_log(self) -> list[dict[str, Any]]:
        return self._log

    def do_reset(self) -> None:
        self._log = []
        self._token = self._kept_at_most = None

    def do_require(self, token: str) -> None:
        self._token = token

    def do_keep(self, size: int) -> None:
        self._kept_at_most = size

    def do_objects(self, bucket: str) -> dict[str, Any]:
        return dict(self._storage.objects.get(bucket, {}))

    def _logged(self, environ: Environ, path: str, query: dict[str, str], body: bytes) -> Answer:
        path = path.partition("?")[0]
        found = _OBJECT.fullmatch(path)
        kind = {"POST": "PUT", "GET": "LIST" if _LISTING.fullmatch(path) else "GET"}
        entry = {
            "kind": kind.get(environ["REQUEST_METHOD"], environ["REQUEST_METHOD"]),
            "name": unquote(found["name"]) if found else "",
            "query": query,
            "authorization": environ.get("HTTP_AUTHORIZATION", ""),
            "size": len(body),
            "start": time.monotonic(),
        }
        self._log.append(entry)
        try:
            answer = self._checked(environ, path, query, body)
        except Refused as refused:
            answer = refused.answer
        entry["status"] = answer.status
        return answer

    def _checked(self, environ: Environ, path: str, query: dict[str, str], body: bytes) -> Answer:
        if self._token is not None and environ.get("HTTP_AUTHORIZATION") != f"Bearer {self._token}":
            raise Refused(401, "authError")
        if _UPLOAD.fullmatch(path):
            return self._upload(environ, unquote(_UPLOAD.fullmatch(path)["bucket"]), query, body)  # type: ignore[index]
        if found := _OBJECT.fullmatch(path):
            return self._object(environ, unquote(found["bucket"]), unquote(found["name"]), query)
        answer = self._forward(environ, body)
        if _LISTING.fullmatch(path):
            if answer.status == 404:
                raise Refused(404, "notFound", "The specified bucket does not exist.")
            return _listing(answer, query)
        return answer

    def _object(self, environ: Environ, bucket: str, name: str, query: dict[str, str]) -> Answer:
        stored = self._storage.objects.get(bucket, {}).get(name)
        if bucket not in self._storage.buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        if stored is None or query.get("generation", stored["generation"]) != stored["generation"]:
            raise Refused(404, "notFound", f"No such object: {bucket}/{name}")
        wanted = re.fullmatch(r"bytes=([0-9]+)-[0-9]*", environ.get("HTTP_RANGE", ""))
        if wanted and int(wanted[1]) >= int(stored["size"]):
            raise Refused(416, "requestedRangeNotSatisfiable")
        answer = self._forward(environ, b"")
        if environ["REQUEST_METHOD"] == "GET" and query.get("alt") != "media":
            return _with_fields(answer, query)
        return Answer(answer.status, (*answer.headers, ("X-Goog-Generation", stored["generation"])), answer.body)

    def _upload(self, environ: Environ, bucket: str, query: dict[str, str], body: bytes) -> Answer:
        if bucket not in self._storage.buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        session, condition = query.get("upload_id"), query.get("ifGenerationMatch")
        if session in self._finished:
            return self._finished[session]
        if session is None:
            name = json.JSONDecoder().raw_decode(body[body.index(b"{") :].decode("latin-1"))[0]["name"]
        else:
            bucket, name, condition = self._sessions[session]
        there = self._storage.objects.get(bucket, {}).get(name, {"generation": "0"})["generation"]
        if condition is not None and condition != there:
            raise Refused(412, "conditionNotMet")
        if session is not None and self._kept_at_most is not None and not environ["HTTP_CONTENT_RANGE"].endswith("*"):
            return self._forward(environ, body)
        if session is not None and self._kept_at_most is not None and len(body) > self._kept_at_most:
            first = int(environ["HTTP_CONTENT_RANGE"].split()[1].partition("-")[0])
            body = body[: self._kept_at_most]
            environ["HTTP_CONTENT_RANGE"] = f"bytes {first}-{first + len(body) - 1}/*"
        answer = self._forward(environ, body)
        if query.get("uploadType") == "resumable" and session is None:
            location = dict(answer.headers)["Location"]
            self._sessions[parse_qs(location)["upload_id"][0]] = bucket, name, condition
        answer = _with_fields(answer, query) if answer.status == 200 else answer
        if session is not None and answer.status == 200:
            self._finished[session] = answer
        return answer

    def _forward(self, environ: Environ, body: bytes) -> Answer:
        passed = ("Content-Type", "Content-Range", "Range", "X-Upload-Content-Type")
        keys = {name: name.upper().replace("-", "_") for name in passed}
        given = {name: environ.get(f"HTTP_{key}") or environ.get(key) for name, key in keys.items()}
        headers = {name: value for name, value in given.items() if value}
        connection = http.client.HTTPConnection("127.0.0.1", self._emulator_port, timeout=TIMEOUT_S)
        try:
            # The host as the client wrote it: the place for an upload's parts is made of it.
            headers["Host"] = environ["HTTP_HOST"]
            uri = environ["REQUEST_URI"]
            target = uri.decode() if isinstance(uri, bytes) else uri
            connection.request(environ["REQUEST_METHOD"], target, body, headers)
            answer = connection.getresponse()
            dropped = {"content-length", "connection", "date", "server"}
            kept = tuple((name, value) for name, value in answer.getheaders() if name.lower() not in dropped)
            return Answer(answer.status, kept, answer.read())
        finally:
            connection.close()


def json_answer(value: object, status: int = 200) -> Answer:
    return Answer(status, (("Content-Type", "application/json"),), json.dumps(value).encode())


def _with_fields(answer: Answer, query: dict[str, str]) -> Answer:
    if "fields" not in query or not answer.body:
        return answer
    wanted = query["fields"].split(",")
    found = json.loads(answer.body)
    return json_answer({name: found[name] for name in wanted if name in found}, answer.status)


def _listing(answer: Answer, query: dict[str, str]) -> Answer:
    items = cast("list[dict[str, Any]]", json.loads(answer.body).get("items", []))
    start = max(query.get("startOffset", ""), query.get("pageToken", ""))
    items = sorted((item for item in items if item["name"] >= start), key=lambda item: str(item["name"]))
    size = min(MAX_PAGE, int(query.get("maxResults", MAX_PAGE)))
    page: dict[str, Any] = {"nextPageToken": items[size]["name"]} if len(items) > size else {}
    if selected := re.search(r"items\(([^)]*)\)", query.get("fields", "")):
        wanted = selected[1].split(",")
        items = [{name: item[name] for name in wanted if name in item} for item in items]
    if items:
        page["items"] = items[:size]
    return json_answer(page)
