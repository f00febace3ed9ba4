"""One connection to a NATS server, as long as it lives; everything here runs on the loop.

A connection that is lost is never taken up again: what was sent on it and not answered is over, and the next call
connects anew. So whoever waits for an answer hears at once when the connection ends, and nothing is sent later than its
caller knows of. What the server tells of by itself is given to those whom it concerns; nothing is printed.
"""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from logging import NullHandler, getLogger
from typing import Any, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from replication.client.nats_auth import credential_options, tls_context
from replication.client.nats_config import NatsConfig
from replication.client.nats_errors import LinkLostError, NatsAPIError, NoResponderError, parse_denied
from replication.errors import DeniedError
from replication.log import LOGGER

PING_INTERVAL_S = 20
MAX_PINGS = 2  # unanswered ones after which a connection counts as lost
CLOSE_TIMEOUT_S = 0.5

getLogger("nats").addHandler(NullHandler())  # without one, Python writes what it logs to the standard error

T = TypeVar("T")


class _CheckedClient(Client):
    """A client that sends nothing to a server without TLS where TLS is asked for."""

    needs_tls = False

    def _connect_command(self) -> bytes:
        if self.needs_tls and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        return super()._connect_command()


class Link:
    """A connection to a server."""

    def __init__(self, config: NatsConfig) -> None:
        """Connect to nothing yet."""
        self._config = config
        self._client = _CheckedClient()
        self._client.needs_tls = config.tls
        self._last_error: Exception | None = None
        self._waiting: dict[asyncio.Future[Exception], str] = {}  # to the subject of a request

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._client.is_connected

    async def open(self) -> None:
        """Connect, or raise what went wrong.

        Raises:
            UsageError: a file cannot be read; and what nats-py raises.

        """
        config = self._config
        try:
            await self._client.connect(
                [f"nats://{config.host}"],
                name="litestream",
                allow_reconnect=False,
                max_reconnect_attempts=1,  # nats-py takes 0 for no limit
                reconnect_time_wait=0,
                connect_timeout=config.connect_timeout_s,  # type: ignore[arg-type]  # any number will do
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=MAX_PINGS,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                tls=tls_context(config) if config.tls else None,
                **credential_options(config.credentials),
            )
        except nats.errors.NoServersError as error:
            await self.close()
            raise self._last_error or error from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of the connection; what still waits for an answer fails."""
        with suppress(Exception):  # it is of no use any more, whatever is wrong with it
            await asyncio.wait_for(self._client.close(), CLOSE_TIMEOUT_S)
        await self._on_closed()

    async def wait(self, awaitable: Awaitable[T], subject: str = "") -> T:
        """Wait for something that comes over this connection, in answer to a request for a subject if there is one.

        Raises:
            LinkLostError: the connection ended.
            DeniedError: the user may not use the subject; and what the awaitable raises.

        """
        failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        if not self._client.is_connected:
            failure.set_result(LinkLostError())
        self._waiting[failure] = subject
        answer = asyncio.ensure_future(awaitable)
        either: set[asyncio.Future[Any]] = {answer, failure}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise failure.result()
            return answer.result()
        finally:
            answer.cancel()
            del self._waiting[failure]

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a request to JetStream and return its answer, parsed.

        Raises:
            NatsAPIError: the answer tells of a failure.
            NoResponderError: nobody takes such requests.
            LinkLostError, DeniedError: as `wait`; and what nats-py raises.

        """
        timeout_s = 2 * self._config.timeout_s  # the session's own bound comes first, and drops the connection
        options = None if headers is None else dict(headers)
        try:
            answer = await self.wait(self._client.request(subject, payload, timeout_s, headers=options), subject)
        except nats.errors.NoRespondersError:
            raise NoResponderError from None
        parsed: dict[str, Any] = json.loads(answer.data)
        if error := parsed.get("error"):
            raise NatsAPIError(
                int(error.get("code", 0)), int(error.get("err_code", 0)), str(error.get("description", ""))
            )
        return parsed

    async def publish(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """Send something to which no single answer comes."""
        await self._client.publish(subject, payload, reply)

    async def subscribe(self) -> "Inbox":
        """Return a place for messages to come to."""
        messages: asyncio.Queue[Msg] = asyncio.Queue()  # what was asked for bounds it
        subject = self._client.new_inbox()
        return Inbox(self, subject, messages, await self._client.subscribe(subject, cb=messages.put))

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        LOGGER.debug("nats://%s: %r", self._config.host, error)
        denied = parse_denied(str(error))
        if denied is None:
            return
        kind, denied_subject = denied
        for failure, subject in self._waiting.items():
            if failure.done():
                continue
            if kind == "subscription":  # there are only those for answers, so none will come
                failure.set_result(DeniedError("the user has no permission for subscription to _INBOX.>"))
            elif subject.lower() == denied_subject.lower():  # nats-py gives it in lower case
                failure.set_result(DeniedError(f"the user has no permission for publish to {subject}"))

    async def _on_closed(self) -> None:
        for failure in self._waiting:
            if not failure.done():
                failure.set_result(LinkLostError())


class Inbox:
    """Messages that come to a subject of our own."""

    def __init__(self, link: Link, subject: str, messages: "asyncio.Queue[Msg]", subscription: Subscription) -> None:
        """Take what `Link.subscribe` made."""
        self.subject = subject
        self._link = link
        self._messages = messages
        self._subscription = subscription

    async def next(self, subject: str = "") -> Msg:
        """Return the next message, in answer to a request for a subject if there was one.

        Raises:
            LinkLostError, DeniedError: as `Link.wait`.

        """
        if not self._messages.empty():
            return self._messages.get_nowait()
        return await self._link.wait(self._messages.get(), subject)

    def is_empty(self) -> bool:
        """Say whether no message is there now."""
        return self._messages.empty()

    async def close(self) -> None:
        """Take no more messages."""
        with suppress(nats.errors.Error):  # the connection may have ended
            await self._subscription.unsubscribe()
