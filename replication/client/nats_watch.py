"""A thread that hears of new files in a bucket of NATS, and tells it.

It has a connection of its own, and a consumer at the server that passes on what is stored from now on. When either is
lost it makes both anew, after pauses that double up to a bound. Nothing is missed for good: whenever it begins to
listen it tells so as if there were a change.
"""

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from replication.client.nats_config import API, NatsConfig
from replication.client.nats_meta import parse_meta
from replication.client.nats_session import NatsSession
from replication.errors import LitestreamError
from replication.log import LOGGER

if TYPE_CHECKING:
    from replication.client.nats_link import Inbox, Link

HEARTBEAT_S = 10.0  # how often the server says that it has nothing to say
SILENCE_S = 25.0  # after which a consumer counts as lost
MAX_WAIT_S = 30.0  # between two attempts to listen
CLOSE_TIMEOUT_S = 5.0


class NatsWatch:
    """Calls a function soon after a file has appeared, until it is closed."""

    def __init__(self, config: NatsConfig, on_change: Callable[[], None]) -> None:
        """Start the thread."""
        self._session = NatsSession(config)
        self._bucket = config.bucket
        self._on_change = on_change
        self._wait_s = config.reconnect_wait_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="litestream-nats-watch", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "closed" if self._closing.is_set() else "open"
        return f"<NatsWatch nats://{self._session.config.host}/{self._bucket} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop; the function is not called any more when this returns, unless this is called by it."""
        self._closing.set()
        self._session.close()  # wakes the thread
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                inbox = self._session.run(self._listen, f"watch the object store {self._bucket}")
                failures = 0
                self._tell()
                while not self._closing.is_set():
                    if self._hear(inbox):
                        self._tell()
            except LitestreamError as error:
                if self._closing.is_set():
                    break
                failures += 1
                log = LOGGER.warning if failures == 1 else LOGGER.debug
                log("new files are found by polling only for now: %s", error)
                self._closing.wait(min(self._wait_s * 2.0 ** min(failures - 1, 10), MAX_WAIT_S))
        self._session.close()

    def _tell(self) -> None:
        try:
            self._on_change()
        except Exception:  # noqa: BLE001 - nobody else would hear of it
            LOGGER.exception("what was called for a new file in %r failed", self)

    def _hear(self, inbox: "Inbox") -> bool:
        return self._session.run(lambda _link: self._next(inbox), f"watch the object store {self._bucket}", SILENCE_S)

    async def _listen(self, link: "Link") -> "Inbox":
        inbox = await link.subscribe()
        config = {
            "deliver_policy": "new",
            "deliver_subject": inbox.subject,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": f"$O.{self._bucket}.M.>",
            "idle_heartbeat": int(HEARTBEAT_S * 1_000_000_000),
            "num_replicas": 1,
            "mem_storage": True,
        }
        stream = f"OBJ_{self._bucket}"
        payload = json.dumps({"stream_name": stream, "config": config}).encode()
        await link.request(f"{API}.CONSUMER.CREATE.{stream}", payload)
        return inbox

    async def _next(self, inbox: "Inbox") -> bool:
        """Wait for a message, and say whether it, or one of those that came with it, tells of a file."""
        is_change = _is_change((await inbox.next()).data)
        while not inbox.is_empty():
            is_change |= _is_change((await inbox.next()).data)
        return is_change


def _is_change(data: bytes) -> bool:
    """Say whether a message tells of an LTX file that is there; a heartbeat is empty."""
    meta = parse_meta(data, 0)
    return meta is not None and not meta.is_deleted and meta.name.startswith("ltx/")
