"""A NATS server with JetStream on loopback, and what tests do to it around the client."""

import asyncio
import itertools
import json
import urllib.request
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import nats
from nats.aio.client import Client
from nats.js.api import ObjectMeta, ObjectStoreConfig
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from replication.client.loop import call
from replication.client.nats import NatsReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from tests.support.servers import ServerProcess, find_server, free_port

CALL_TIMEOUT_S = 60.0

_numbers = itertools.count(1)

T = TypeVar("T")


def nats_client(url: str, **options: object) -> NatsReplicaClient:
    """Return a client that does not try again."""
    client = replica_client(url, **options)
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, NatsReplicaClient)
    return client.inner


class NatsServer(ServerProcess):
    """The server's process; its objects stay when it is stopped and started again."""

    def __init__(self, directory: Path, settings: str = "", *, login: str = "", has_jetstream: bool = True) -> None:
        """Take further settings, in the server's own format, and how the tests themselves log in."""
        directory.mkdir(parents=True, exist_ok=True)
        port, self.monitor_port = free_port(), free_port()
        config = directory / "nats.conf"
        jetstream = f"jetstream {{ store_dir: {json.dumps(str(directory / 'store'))} }}"
        config.write_text(
            f"host: 127.0.0.1\nport: {port}\nhttp: 127.0.0.1:{self.monitor_port}\n"
            f"{jetstream if has_jetstream else ''}\n{settings}\n"
        )
        command = [find_server("nats-server"), "-c", str(config)]
        super().__init__(command, port=port, log_path=directory / "log", is_ready=self._is_healthy)
        self._login = login

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, bucket: str, user: str = "") -> str:
        """Return a replica URL; `user` is `name:password`."""
        return f"nats://{user}{'@' if user else ''}{self.host}/{bucket}"

    def do(self, operation: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Return what an operation on a connection of the tests returns."""

        async def run() -> T:
            client = await nats.connect(f"nats://{self._login}{'@' if self._login else ''}{self.host}")
            try:
                return await operation(client)
            finally:
                await client.close()

        return call(run(), CALL_TIMEOUT_S)

    def create_bucket(self, bucket: str) -> str:
        """Make a bucket and return its name."""

        async def create(client: Client) -> None:
            await client.jetstream().create_object_store(bucket, ObjectStoreConfig(bucket=bucket))

        self.do(create)
        return bucket

    def new_bucket(self) -> str:
        """Make a bucket that nobody else uses."""
        return self.create_bucket(f"bucket-{next(_numbers)}")

    def fill(self, bucket: str, objects: Iterable[tuple[str, bytes]], headers: dict[str, Any] | None = None) -> None:
        """Store objects as nats-py does."""

        async def put(client: Client) -> None:
            store = await client.jetstream().object_store(bucket)
            waiting = list(objects)
            while waiting:  # some at once, and a bounded number
                batch, waiting = waiting[:100], waiting[100:]
                await asyncio.gather(*(_put(store, name, data, headers) for name, data in batch))

        self.do(put)

    def delete(self, bucket: str, name: str) -> None:
        """Delete an object as nats-py and the Go program do: a message that says so stays."""

        async def delete(client: Client) -> None:
            await (await client.jetstream().object_store(bucket)).delete(name)

        self.do(delete)

    def read(self, bucket: str, name: str) -> bytes:
        """Return an object's content as nats-py reads it."""

        async def get(client: Client) -> bytes:
            return (await (await client.jetstream().object_store(bucket)).get(name)).data or b""

        return self.do(get)

    def names(self, bucket: str) -> list[str]:
        """Return the names of the objects as nats-py lists them."""

        async def names(client: Client) -> list[str]:
            try:
                infos = await (await client.jetstream().object_store(bucket)).list(ignore_deletes=True)
            except NotFoundError:
                return []
            return sorted(info.name for info in infos)

        return self.do(names)

    def subjects(self, bucket: str) -> dict[str, int]:
        """Return how many messages the bucket has of each subject."""

        async def count(client: Client) -> dict[str, int]:
            info = await client.jetstream().stream_info(f"OBJ_{bucket}", subjects_filter=">")
            return info.state.subjects or {}

        return self.do(count)

    def delete_consumers(self, bucket: str) -> None:
        """Let the server forget who reads the bucket."""

        async def delete(client: Client) -> None:
            stream = client.jetstream()
            for consumer in await stream.consumers_info(f"OBJ_{bucket}"):
                await stream.delete_consumer(f"OBJ_{bucket}", consumer.name)

        self.do(delete)

    def counters(self) -> dict[str, int]:
        """Return what the server has counted: `in_msgs`, `out_msgs`, `in_bytes`, `out_bytes`, ..."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}/varz", timeout=10) as answer:
            counted = cast("dict[str, Any]", json.load(answer))
        return {name: value for name, value in counted.items() if isinstance(value, int)}

    def connection_count(self) -> int:
        """Return how many clients are connected now."""
        return self.counters()["connections"]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server do nothing for a while; its connections stay."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}/healthz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


async def _put(store: ObjectStore, name: str, data: bytes, headers: dict[str, Any] | None) -> None:
    await store.put(name, data, ObjectMeta(name=name, headers=headers))
