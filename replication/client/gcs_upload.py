"""Uploads to Google Cloud Storage: small ones with one request, others in parts of a session.

Either way an object appears when its last byte is there. The server says after each part how much of it is kept, which
may be less than was sent: the rest is sent again. When the answer to a part is lost, the server is asked what it has,
so that a failure costs one part and not the whole. A session that is not ended is forgotten after a week and costs
nothing.

Source: cloud.google.com/storage/docs/performing-resumable-uploads.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

from replication.client.gcs_bucket import GCSBucket
from replication.client.gcs_errors import json_answer
from replication.client.http_session import HTTPAnswer
from replication.client.reader import read_fully
from replication.client.retry import RetryPolicy
from replication.errors import UnavailableError, UsageError

PART_SIZE = 8 * 2**20  # bytes, a multiple of 256 KiB as the server wants it; what is smaller is one request
CONTENT_TYPE = "application/octet-stream"
_JSON_TYPE = "application/json; charset=UTF-8"
ABSENT = "0"  # as the generation to replace: there is to be none

_API = "/upload/storage/v1"
_FIELDS = "generation,size"
_KEPT = re.compile(r"bytes=0-([0-9]{1,18})")

_DONE = {200, 201}
_INCOMPLETE = 308
_CONDITION_FAILED = 412
_SESSION_ENDED = {404, 410}


@dataclass(frozen=True, slots=True)
class Stored:
    """What an upload has become."""

    generation: str
    size: int


def upload(
    bucket: GCSBucket,
    name: str,
    start: bytes,
    reader: BinaryIO | None,
    *,
    metadata: Mapping[str, str],
    if_generation: str | None,
) -> Stored | None:
    """Store an object, of which `start` is read already; None if the generation to replace is not the one there.

    Without a reader `start` is all; with one it is at least a part.

    Raises:
        UsageError: there is no such bucket.
        DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    if if_generation is not None and bucket.config.is_emulator:
        there = bucket.generation(name) or ABSENT
        if there != if_generation:
            return None
    described = {"name": name, "contentType": CONTENT_TYPE, "metadata": dict(metadata)}
    query = {"fields": _FIELDS}
    if if_generation is not None:
        query["ifGenerationMatch"] = if_generation
    permission = "storage.objects.create"
    if if_generation != ABSENT:
        permission += ", and storage.objects.delete where it replaces one,"
    sender = _Sender(bucket, f"PUT {name}", permission, json.dumps(described).encode(), query)
    answer, size = (sender.send_whole(start), len(start)) if reader is None else sender.send_parts(start, reader)
    if answer.status == _CONDITION_FAILED:
        return None
    told = json_answer(answer, sender.what)
    if str(told.get("size")) != str(size) or not told.get("generation"):
        msg = f"{sender.what}: expected an object of {size} bytes, got one of {told.get('size')!r}"
        raise UnavailableError(msg)
    return Stored(str(told["generation"]), size)


@dataclass(frozen=True, slots=True)
class _Sender:
    """One upload: what is said of the object, and how the server is asked."""

    bucket: GCSBucket
    what: str
    permission: str
    described: bytes
    query: Mapping[str, str]

    def send_whole(self, data: bytes) -> HTTPAnswer:
        """Store all of it with one request."""
        boundary = secrets.token_hex(16)
        begin = f"--{boundary}\r\nContent-Type: {_JSON_TYPE}\r\n\r\n".encode()
        middle = f"\r\n--{boundary}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        body = b"".join([begin, self.described, middle.encode(), data, f"\r\n--{boundary}--\r\n".encode()])
        return self._checked(
            self.bucket.send(
                "POST",
                self.bucket.url(_API, "o", {"uploadType": "multipart", **self.query}),
                headers={"Content-Type": f"multipart/related; boundary={boundary}"},
                content=body,
            )
        )

    def send_parts(self, start: bytes, reader: BinaryIO) -> tuple[HTTPAnswer, int]:
        """Store it part by part, and return the last answer and how many bytes there were."""
        begun = self._begin()
        if begun.status == _CONDITION_FAILED:
            return begun, 0
        session = self._session(begun)
        policy = RetryPolicy(timeout_s=self.bucket.config.timeout_s)
        unsent, kept = bytearray(start), 0
        while True:
            unsent += read_fully(reader, PART_SIZE + 1 - len(unsent))  # one more tells whether this part is the last
            total = kept + len(unsent) if len(unsent) <= PART_SIZE else None
            part = _Part(self, session, bytes(unsent[:PART_SIZE]), kept, total)
            answer = policy.call(part.send)
            if answer.status != _INCOMPLETE:
                return answer, kept + len(unsent)
            now = part.kept(answer)
            if now == kept:
                msg = f"{self.what}: the server keeps nothing of what it is sent, from byte {kept} on"
                raise UnavailableError(msg)
            del unsent[: now - kept]
            kept = now

    def _begin(self) -> HTTPAnswer:
        return self._checked(
            self.bucket.send(
                "POST",
                self.bucket.url(_API, "o", {"uploadType": "resumable", **self.query}),
                headers={"Content-Type": _JSON_TYPE, "X-Upload-Content-Type": CONTENT_TYPE},
                content=self.described,
            )
        )

    def _session(self, begun: HTTPAnswer) -> str:
        """Return where the parts go; it must not be a less safe place."""
        session = begun.headers.get("location", "")
        scheme = urlsplit(self.bucket.config.endpoint).scheme
        if urlsplit(session).scheme not in {scheme, "https"}:
            msg = f"{self.what}: expected a place for the parts by {scheme}, got none"
            raise UsageError(msg)
        return session

    def _checked(self, answer: HTTPAnswer) -> HTTPAnswer:
        if answer.status in _DONE or answer.status == _CONDITION_FAILED:
            return answer
        raise self.bucket.error(answer, self.what, self.permission)

    def send_range(self, session: str, content: bytes, content_range: str) -> HTTPAnswer:
        """Send bytes to a session, or ask for its state."""
        answer = self.bucket.send("PUT", session, headers={"Content-Range": content_range}, content=content)
        if answer.status == _INCOMPLETE:
            return answer
        if answer.status in _SESSION_ENDED:
            msg = f"{self.what}: the upload was ended by the server ({answer.status})"
            raise UnavailableError(msg)
        return self._checked(answer)


class _Part:
    """A part on its way; each further attempt begins with asking what has arrived."""

    def __init__(self, sender: _Sender, session: str, data: bytes, start: int, total: int | None) -> None:
        self._sender = sender
        self._session = session
        self._data = data
        self._start = start
        self._total = "*" if total is None else str(total)
        self._was_sent = False

    def send(self) -> HTTPAnswer:
        """Return the answer: the upload is done, or incomplete, or its condition does not hold."""
        if self._was_sent:
            answer = self._sender.send_range(self._session, b"", f"bytes */{self._total}")
            if answer.status != _INCOMPLETE or self.kept(answer) > self._start:
                return answer
        self._was_sent = True
        bounds = f"{self._start}-{self._start + len(self._data) - 1}" if self._data else "*"
        return self._sender.send_range(self._session, self._data, f"bytes {bounds}/{self._total}")

    def kept(self, answer: HTTPAnswer) -> int:
        """Return how many bytes of the whole upload the server has."""
        text = answer.headers.get("range", "")
        found = _KEPT.fullmatch(text)
        kept = int(found[1]) + 1 if found else 0
        if not self._start <= kept <= self._start + len(self._data):
            msg = f"{self._sender.what}: expected bytes from {self._start} on to be wanted, got {text!r}"
            raise UnavailableError(msg)
        return kept
