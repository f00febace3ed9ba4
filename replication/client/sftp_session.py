"""The connection of an SFTP client: made when it is needed, and again when it was lost or the process was forked.

Any thread may call. A call that found the connection lost, as one that was idle may be, is made once more over a new
one, if that does no harm. One that got no answer in time drops the connection: it is of no use to the next one either.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from replication.client.loop import call
from replication.client.sftp_config import SFTPConfig
from replication.errors import LitestreamError, LTXMissingError, UnavailableError, UsageError
from replication.forking import is_other_process
from replication.log import LOGGER

if TYPE_CHECKING:
    from replication.client.sftp_link import SFTPLink

CLOSE_TIMEOUT_S = 5.0

T = TypeVar("T")


class _State:
    """What a process knows of its connection; only the loop changes it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = asyncio.Lock()  # held while a connection is made
        self.link: SFTPLink | None = None


_of_parents: list[_State] = []  # never let go of: closing one would disturb the parent's connection


class SFTPSession:
    """A connection to one server, and the calls over it."""

    def __init__(self, config: SFTPConfig) -> None:
        """Connect to nothing yet.

        Raises:
            UsageError: the library is not installed.

        """
        if find_spec("asyncssh") is None:
            msg = "replicas at sftp:// need one more library: pip install apsw-litestream[sftp]"
            raise UsageError(msg)
        self.config = config
        self._state = _State()
        if config.insecure_ignore_host_key:
            LOGGER.warning("the host key of %s is not checked: whoever answers there is trusted", config.server)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection of this process."""
        state = self._state
        return not is_other_process(state.pid) and state.link is not None and state.link.is_open

    def run(
        self,
        operation: "Callable[[SFTPLink], Coroutine[Any, Any, T]]",
        what: str,
        *,
        again: bool = True,
        missing: type[LitestreamError] = LTXMissingError,
        timeout_s: float | None = None,
    ) -> T:
        """Return what an operation on the connection returns; errors say `what` it was.

        With `again` it is done once more over a new connection if the one there was turns out to be lost. `missing` is
        the error for a file that is not there.

        Raises:
            LitestreamError: the operation failed; an UnavailableError too if it took too long.

        """
        timeout_s = self.config.timeout_s if timeout_s is None else timeout_s
        try:
            return call(self._run(operation, again=again), timeout_s)
        except UnavailableError as error:  # the loop's: the server's are asyncssh's here
            self._drop()
            msg = f"{what} at {self.config.server}: {error}"
            raise UnavailableError(msg) from None
        except LitestreamError:
            raise
        except Exception as error:
            from replication.client.sftp_errors import FOREIGN, sftp_error  # noqa: PLC0415 - of few installations

            if not isinstance(error, FOREIGN):
                raise
            raise sftp_error(error, what, self.config, missing) from error

    def close(self) -> None:
        """Let go of the connection; the next call makes another one."""
        if self.is_open:
            with suppress(UnavailableError):  # it is given up all the same
                call(self._close(), CLOSE_TIMEOUT_S)

    def _drop(self) -> None:
        """Let go of a connection whose server does not answer."""
        if self.is_open:
            with suppress(UnavailableError):
                call(self._abort(), CLOSE_TIMEOUT_S)

    async def _run(self, operation: "Callable[[SFTPLink], Coroutine[Any, Any, T]]", *, again: bool) -> T:
        from replication.client.sftp_errors import is_lost  # noqa: PLC0415 - as above

        link, is_new = await self._link(None)
        try:
            return await operation(link)
        except Exception as error:
            if not is_lost(error):
                raise
            if is_new or not again:
                self._forget(link)
                raise
        link, _ = await self._link(link)
        return await operation(link)

    async def _link(self, lost: "SFTPLink | None") -> "tuple[SFTPLink, bool]":
        """Return an open connection other than the one that was lost, and whether it was made just now."""
        from replication.client.sftp_link import SFTPLink  # noqa: PLC0415 - as above

        state = self._own_state()
        async with state.lock:
            link = state.link
            if link is not None and link is not lost and link.is_open:
                return link, False
            if link is not None:
                self._forget(link)
            state.link = await SFTPLink.open(self.config)
            return state.link, True

    async def _close(self) -> None:
        state = self._own_state()
        link, state.link = state.link, None
        if link is not None:
            await link.close()

    async def _abort(self) -> None:
        state = self._own_state()
        if state.link is not None:
            self._forget(state.link)

    def _forget(self, link: "SFTPLink") -> None:
        """End a connection that is of no use any more."""
        state = self._own_state()
        if state.link is link:
            state.link = None
        link.abort()

    def _own_state(self) -> _State:
        if is_other_process(self._state.pid):
            _of_parents.append(self._state)
            self._state = _State()
        return self._state
