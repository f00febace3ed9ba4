"""The messages of a stream that are stored under a subject, in order, a bounded number at a time.

A consumer at the server keeps the place; it is asked for batches, and each message tells how many are to come. A
message that was lost on the way shows as a gap in the consumer's numbers.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from replication.client.nats_config import API
from replication.client.nats_errors import NatsAPIError
from replication.client.nats_session import NatsSession
from replication.errors import UnavailableError

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from replication.client.nats_link import Inbox, Link

IDLE_CONSUMER_S = 120.0  # after which the server forgets one that nobody asked

ALL = "all"
LAST_PER_SUBJECT = "last_per_subject"


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message of a stream, and when it was stored."""

    sequence: int
    subject: str
    data: bytes
    stored_at: datetime


@dataclass(slots=True)
class _Consumer:
    """A consumer at the server, and how far it is."""

    name: str
    inbox: "Inbox"
    pending: int  # messages to come
    delivered: int = 0


class StreamReader:
    """Reads what is stored under a subject."""

    def __init__(self, session: NatsSession, stream: str, subject: str, *, policy: str, what: str) -> None:
        """Take the place; `policy` says whether only the last message of each subject counts."""
        self._session = session
        self._stream = stream
        self._subject = subject
        self._policy = policy
        self._what = what

    def batches(self, batch_size: int) -> Iterator[Sequence[StreamMessage]]:
        """Yield the messages, up to `batch_size` at a time.

        Raises:
            UsageError: there is no such stream.
            DeniedError, UnavailableError: the server refused, or did not answer.

        """
        link, consumer = self._session.run(self._create, self._what)
        try:
            while consumer.pending > 0:
                yield self._session.run(lambda _link: self._next(link, consumer, batch_size), self._what)
        finally:
            if link.is_open:
                self._session.run(lambda _link: self._delete(link, consumer), self._what)

    async def _create(self, link: "Link") -> "tuple[Link, _Consumer]":
        inbox = await link.subscribe()
        config = {
            "deliver_policy": self._policy,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self._subject,
            "inactive_threshold": int(IDLE_CONSUMER_S * 1_000_000_000),
            "num_replicas": 1,
            "mem_storage": True,
        }
        payload = json.dumps({"stream_name": self._stream, "config": config}).encode()
        try:
            answer = await link.request(f"{API}.CONSUMER.CREATE.{self._stream}", payload)
            return link, _Consumer(str(answer["name"]), inbox, int(answer.get("num_pending", 0)))
        except BaseException:
            await inbox.close()
            raise

    async def _next(self, link: "Link", consumer: _Consumer, batch_size: int) -> Sequence[StreamMessage]:
        count = min(batch_size, consumer.pending)
        subject = f"{API}.CONSUMER.MSG.NEXT.{self._stream}.{consumer.name}"
        payload = json.dumps({"batch": count, "no_wait": True}).encode()
        await link.publish(subject, payload, consumer.inbox.subject)
        messages: list[StreamMessage] = []
        while len(messages) < count:
            message = await consumer.inbox.next(subject)
            if status := _status(message):
                consumer.pending = 0  # fewer are left than were announced: some have been deleted meanwhile
                if status not in {"404", "408"}:
                    raise NatsAPIError(int(status), 0, (message.headers or {}).get("Description", ""))
                break
            metadata = message.metadata
            consumer.delivered += 1
            if metadata.sequence.consumer != consumer.delivered:
                msg = f"expected message {consumer.delivered}, got {metadata.sequence.consumer}"
                raise UnavailableError(msg)
            consumer.pending = metadata.num_pending
            stored_at = metadata.timestamp.astimezone(UTC)
            messages.append(StreamMessage(metadata.sequence.stream, message.subject, message.data, stored_at))
        return messages

    async def _delete(self, link: "Link", consumer: _Consumer) -> None:
        await consumer.inbox.close()
        # Nobody waits for the answer: the server forgets an idle consumer by itself.
        await link.publish(f"{API}.CONSUMER.DELETE.{self._stream}.{consumer.name}", b"", consumer.inbox.subject)


def _status(message: "Msg") -> str:
    """Return the status that the server sends instead of a message, or nothing."""
    return "" if message.data or not message.headers else message.headers.get("Status", "")
