"""A relay of bytes on loopback: a far network, a server that falls silent, connections that break.

with Relay(server.port) as relay:
    relay.delay_s = 0.05
    client = make_client(relay.port)
    relay.cut()
"""

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.servers import free_port

_START_TIMEOUT_S = 10.0
_CHUNK_SIZE = 2**16


class Relay:
    """Takes connections at `port`, and passes on what comes to a server, and back, after `delay_s` each way."""

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self.delay_s = 0.0
        self.is_silent = False  # what comes is held back from then on
        self.connection_count = 0
        self._server_port = server_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_START_TIMEOUT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_TIMEOUT_S)
        assert not self._thread.is_alive()

    def cut(self) -> None:
        """Break all connections there are."""
        done = threading.Event()

        def abort() -> None:
            for writer in self._writers:
                writer.transport.abort()
            done.set()

        self._loop.call_soon_threadsafe(abort)
        assert done.wait(_START_TIMEOUT_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(server_writer)
        with suppress(asyncio.CancelledError):  # at the end; the callback of such servers would write it to the log
            await asyncio.gather(self._pump(reader, server_writer), self._pump(server_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what is read, in its order, each part when its time has come."""
        loop = asyncio.get_running_loop()
        parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def write() -> None:
            while True:
                due, data = await parts.get()
                await asyncio.sleep(due - loop.time())
                if not data:
                    writer.transport.abort()
                    return
                if not self.is_silent:
                    writer.write(data)

        async def read() -> None:
            data = b"-"
            while data:
                try:
                    data = await reader.read(_CHUNK_SIZE)
                except OSError:
                    data = b""
                parts.put_nowait((loop.time() + self.delay_s, data))

        await asyncio.gather(read(), write())
