"""Objects in a NATS JetStream object store: a meta message by name, chunks by a random id.

    $O.<bucket>.M.<name, base64url>     JSON: name, size, chunks, digest, nuid, headers; the last one counts
    $O.<bucket>.C.<nuid>                the content, in messages of 128 KiB

An object is there when its meta message is. That is published last, on the condition that no other one came in between,
so of two writers at once one sees that it was second. No chunks are left that no meta message names: who replaces or
deletes an object removes its chunks, and who is refused removes its own. Only where the answer to a meta message was
lost do they stay, because it may have been stored.

Deleting removes the meta message itself. The Go program leaves one that says `deleted`; those count as nothing here.

Source: NATS ADR-20, "JetStream based Object Stores".
"""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from replication.client.nats_config import API
from replication.client.nats_errors import NO_MESSAGE, WRONG_SEQUENCE, NatsAPIError, NoResponderError
from replication.client.nats_messages import ALL, LAST_PER_SUBJECT, StreamReader
from replication.client.nats_meta import NO_SEQUENCE, ObjectMeta, format_digest, parse_digest, parse_meta
from replication.client.nats_session import NatsSession
from replication.errors import UnavailableError

if TYPE_CHECKING:
    from replication.client.nats_link import Link

CHUNKS_AT_ONCE = 32  # messages under way: 4 MiB
METAS_AT_ONCE = 1000
MAX_OBJECTS = 2_000_000  # of one listing
MAX_PUBLISH_ATTEMPTS = 10  # so often may others replace an object that we replace


class ObjectUpload:
    """An object that is being written; nobody sees it before `NatsBucket.publish`."""

    def __init__(self, bucket: "NatsBucket", name: str) -> None:
        """Begin with nothing."""
        self.name = name
        self.nuid = secrets.token_hex(11)  # 22 characters, as NATS's own are
        self.size = 0
        self._chunks = 0
        self._hash = hashlib.sha256()
        self._bucket = bucket

    def write(self, chunks: Sequence[bytes]) -> None:
        """Store the next chunks.

        Raises:
            UsageError, DeniedError, UnavailableError: the server refused, or did not answer.

        """
        self._bucket.store_chunks(self, chunks)
        for chunk in chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
        self._chunks += len(chunks)

    def meta(self, headers: Mapping[str, Sequence[str]]) -> ObjectMeta:
        """Return the meta of what has been written."""
        digest = format_digest(self._hash.digest())
        return ObjectMeta(
            name=self.name, nuid=self.nuid, size=self.size, chunks=self._chunks, digest=digest, headers=headers
        )


class NatsBucket:
    """The objects of one bucket."""

    def __init__(self, session: NatsSession) -> None:
        """Take the connection."""
        self._session = session
        self._bucket = session.config.bucket
        self._stream = f"OBJ_{self._bucket}"

    def check(self) -> None:
        """See whether the bucket is there.

        Raises:
            UsageError, DeniedError, UnavailableError: it is not, or the server refused, or did not answer.

        """
        self._session.run(self._info, f"look for the object store {self._bucket}")

    def list(self) -> list[ObjectMeta]:
        """Return what there is, deleted objects left out.

        Raises:
            UsageError, DeniedError, UnavailableError: no such bucket, or the server refused, or did not answer.

        """
        what = f"list the object store {self._bucket}"
        subject = f"$O.{self._bucket}.M.>"
        reader = StreamReader(self._session, self._stream, subject, policy=LAST_PER_SUBJECT, what=what)
        metas: dict[str, ObjectMeta] = {}  # one that is replaced meanwhile comes twice
        count = 0
        for batch in reader.batches(METAS_AT_ONCE):
            count += len(batch)
            if count > MAX_OBJECTS:
                msg = f"{what}: expected {MAX_OBJECTS} objects at most, got more"
                raise UnavailableError(msg)
            for message in batch:
                meta = parse_meta(message.data, message.sequence, message.stored_at)
                if meta is not None and message.subject == self.meta_subject(meta.name):
                    metas[meta.name] = meta
        return [meta for meta in metas.values() if not meta.is_deleted]

    def find(self, name: str) -> ObjectMeta | None:
        """Return the meta of an object, also of a deleted one, as the stream's leader has it; None if there is none.

        Raises:
            UsageError, DeniedError, UnavailableError: no such bucket, or the server refused, or did not answer.

        """
        found = self._last_message(self.meta_subject(name), f"look for {name}")
        if found is None:
            return None
        data, sequence = found
        # What somebody else has put there is as good as deleted: it is no object, and has a place in the order.
        unknown = ObjectMeta(name=name, nuid="", size=0, chunks=0, digest="", is_deleted=True, sequence=sequence)
        return parse_meta(data, sequence) or unknown

    def read(self, meta: ObjectMeta, write: Callable[[bytes], object]) -> bool:
        """Write the content of an object; False if it is not, or no longer, what the meta says.

        Raises:
            UsageError, DeniedError, UnavailableError: no such bucket, or the server refused, or did not answer.

        """
        digest, size = hashlib.sha256(), 0
        for data in self._chunks(meta):
            size += len(data)
            if size > meta.size:
                return False
            digest.update(data)
            write(data)
        return size == meta.size and digest.digest() == parse_digest(meta.digest)

    def store_chunks(self, upload: ObjectUpload, chunks: Sequence[bytes]) -> None:
        """Store chunks of an upload, in order.

        Raises:
            UsageError, DeniedError, UnavailableError: no such bucket, or the server refused, or did not answer.

        """
        subject = self._chunk_subject(upload.nuid)

        async def store(link: "Link") -> Sequence[int]:
            try:
                answers = await asyncio.gather(*(link.request(subject, chunk) for chunk in chunks))
            except NoResponderError:
                await self._info(link)  # tells whether there is such a bucket
                raise
            return [int(answer["seq"]) for answer in answers]

        what = f"write {upload.name}"
        sequences = self._session.run(store, what)
        if list(sequences) != sorted(sequences):
            msg = f"{what}: chunks were stored out of order"
            raise UnavailableError(msg)

    def publish(self, meta: ObjectMeta, expected: int) -> int | None:
        """Let an object be seen if the last meta message of its name is the expected one, and return its sequence.

        If it is another one, nothing changes and None is returned.

        Raises:
            UsageError, DeniedError, UnavailableError: no such bucket, or the server refused, or did not answer.

        """
        headers = {"Nats-Rollup": "sub", "Nats-Expected-Last-Subject-Sequence": str(expected)}
        payload = meta.format(self._bucket)

        async def publish(link: "Link") -> int | None:
            try:
                answer = await link.request(self.meta_subject(meta.name), payload, headers)
            except NatsAPIError as error:
                if error.err_code == WRONG_SEQUENCE:
                    return None
                raise
            return int(answer["seq"])

        return self._session.run(publish, f"write {meta.name}")

    def delete(self, meta: ObjectMeta) -> None:
        """Delete an object, if no other one has come by its name, and then its chunks.

        Raises:
            UsageError, DeniedError, UnavailableError: no such bucket, or the server refused, or did not answer.

        """
        self._purge(self.meta_subject(meta.name), f"delete {meta.name}", before=meta.sequence + 1)
        self.purge_chunks(meta.nuid)

    def purge_chunks(self, nuid: str) -> None:
        """Remove the chunks of an object that nobody sees any more, or will ever see.

        Raises:
            UsageError, DeniedError, UnavailableError: no such bucket, or the server refused, or did not answer.

        """
        if nuid:
            self._purge(self._chunk_subject(nuid), "remove chunks")

    def meta_subject(self, name: str) -> str:
        """Return the subject of an object's meta messages."""
        return f"$O.{self._bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"

    def _chunk_subject(self, nuid: str) -> str:
        return f"$O.{self._bucket}.C.{nuid}"

    def _chunks(self, meta: ObjectMeta) -> Iterator[bytes]:
        what = f"read {meta.name}"
        if meta.chunks == 1:  # one request, where a consumer takes three
            found = self._last_message(self._chunk_subject(meta.nuid), what)
            return iter([] if found is None else [found[0]])
        subject = self._chunk_subject(meta.nuid)
        reader = StreamReader(self._session, self._stream, subject, policy=ALL, what=what)
        return (message.data for batch in reader.batches(CHUNKS_AT_ONCE) for message in batch)

    def _last_message(self, subject: str, what: str) -> tuple[bytes, int] | None:
        payload = json.dumps({"last_by_subj": subject}).encode()

        async def find(link: "Link") -> tuple[bytes, int] | None:
            try:
                answer = await link.request(f"{API}.STREAM.MSG.GET.{self._stream}", payload)
            except NatsAPIError as error:
                if error.err_code == NO_MESSAGE:
                    return None
                raise
            message = answer["message"]
            return base64.b64decode(message.get("data") or ""), int(message["seq"])

        return self._session.run(find, what)

    def _purge(self, subject: str, what: str, *, before: int = NO_SEQUENCE) -> None:
        wanted: dict[str, object] = {"filter": subject}
        if before:
            wanted["seq"] = before
        payload = json.dumps(wanted).encode()
        self._session.run(lambda link: link.request(f"{API}.STREAM.PURGE.{self._stream}", payload), what)

    async def _info(self, link: "Link") -> None:
        await link.request(f"{API}.STREAM.INFO.{self._stream}")


def publish_object(bucket: NatsBucket, meta: ObjectMeta, *, if_absent: bool) -> bool:
    """Let an object be seen, and remove what it replaces; with `if_absent`, return False where there is one already.

    Raises:
        UsageError, DeniedError, UnavailableError: no such bucket, or the server refused, or did not answer.

    """
    old: ObjectMeta | None = None
    for _ in range(MAX_PUBLISH_ATTEMPTS):
        if bucket.publish(meta, old.sequence if old else NO_SEQUENCE) is not None:
            if old is not None:
                bucket.purge_chunks(old.nuid)
            return True
        old = bucket.find(meta.name)
        if if_absent and old is not None and not old.is_deleted:
            return False
    bucket.purge_chunks(meta.nuid)
    msg = f"write {meta.name}: others replaced it {MAX_PUBLISH_ATTEMPTS} times meanwhile"
    raise UnavailableError(msg)
