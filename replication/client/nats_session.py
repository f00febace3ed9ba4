"""The connection of a NATS client: made when it is needed, and again when it was lost or the process was forked.

Any thread may call. Each call is bounded in time; one that got no answer in time drops the connection, because a server
that cannot be reached any more does not say so.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from replication.client.loop import call
from replication.client.nats_config import NatsConfig
from replication.client.nats_errors import nats_error
from replication.errors import DeniedError, LitestreamError, UnavailableError, UsageError
from replication.forking import is_other_process

if TYPE_CHECKING:
    from replication.client.nats_link import Link

CLOSE_TIMEOUT_S = 5.0

T = TypeVar("T")


class _State:
    """What a process knows of its connection; only the loop changes it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = asyncio.Lock()  # held while a connection is made
        self.link: Link | None = None


_of_parents: list[_State] = []  # never let go of: closing one would disturb the parent's connection


class NatsSession:
    """A connection to one server, and the calls over it."""

    def __init__(self, config: NatsConfig) -> None:
        """Connect to nothing yet.

        Raises:
            UsageError: the library is not installed.

        """
        try:
            import nats  # noqa: F401, PLC0415 - of few installations
        except ModuleNotFoundError as error:
            msg = "replicas in NATS need one more library: pip install apsw-litestream[nats]"
            raise UsageError(msg) from error
        self.config = config
        self._state = _State()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection of this process."""
        state = self._state
        return not is_other_process(state.pid) and state.link is not None and state.link.is_open

    def run(
        self, operation: "Callable[[Link], Coroutine[Any, Any, T]]", what: str, timeout_s: float | None = None
    ) -> T:
        """Return what an operation on the connection returns; errors say `what` it was.

        Raises:
            LitestreamError: the operation failed; an UnavailableError too if it took more than `timeout_s`.

        """
        config = self.config
        timeout_s = config.timeout_s if timeout_s is None else timeout_s
        try:
            return call(self._run(operation), timeout_s)
        except UnavailableError as error:  # the loop's: those of the server are nats-py's here
            self.close()
            msg = f"{what}: {error} from nats://{config.host}"
            raise UnavailableError(msg) from None
        except DeniedError as error:
            msg = f"{what}: {error}"
            raise DeniedError(msg) from None
        except LitestreamError:
            raise
        except Exception as error:
            raise nats_error(error, what, config) from error

    def close(self) -> None:
        """Let go of the connection; the next call makes another one."""
        with suppress(UnavailableError):  # it is given up all the same
            call(self._close(), CLOSE_TIMEOUT_S)

    async def _run(self, operation: "Callable[[Link], Coroutine[Any, Any, T]]") -> T:
        return await operation(await self._link())

    async def _link(self) -> "Link":
        """Return an open connection."""
        from replication.client.nats_link import Link  # noqa: PLC0415 - the library is of few installations

        state = self._own_state()
        async with state.lock:
            if state.link is None or not state.link.is_open:
                if state.link is not None:
                    await state.link.close()
                state.link = Link(self.config)
                await state.link.open()
            return state.link

    async def _close(self) -> None:
        state = self._own_state()
        link, state.link = state.link, None
        if link is not None:
            await link.close()

    def _own_state(self) -> _State:
        if is_other_process(self._state.pid):
            _of_parents.append(self._state)
            self._state = _State()
        return self._state
