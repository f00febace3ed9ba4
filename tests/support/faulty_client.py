"""A replica client that fails where a test says so, and remembers what was asked of it.

    client = FaultyClient(MemoryReplicaClient())
    client.fail("read_ltx", UnavailableError("down"), after=3, times=2)   # calls 4 and 5 from now on
    client.truncate(100)                                                  # the next read gives 100 bytes at most
    client.flip_bit(5_000, times=None)                                    # byte 5,000 of whatever file, always
    client.delay("read_ltx", 0.02, times=None)
    gate = client.hold("ltx_files")                                       # the next listing waits for gate.release()
    client.vanish(info)                                                   # listed, but gone when read
    client.count("read_ltx"), client.calls

Faults of one method add up; each counts the calls made since it was planted. A reader of `open_ltx_file` reads in
chunks through `read_ltx`, so faults of reads reach it too.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from replication.client.base import ReplicaClient
from replication.client.reader import Chunk, open_range_reader
from replication.client.wrapper import WrapperClient
from replication.errors import LTXMissingError
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID

METHODS = ("init", "ltx_files", "read_ltx", "open_ltx_file", "write_ltx_file", "delete_ltx_files", "delete_all")
_GATE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call: which method, and of its arguments those that it has."""

    method: str
    level: int = -1
    min_txid: int = 0
    max_txid: int = 0
    start: int = 0
    end: int | None = None
    seek: int = 0
    use_metadata: bool = False


class Gate:
    """Where one call waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._released = threading.Event()

    def wait_until_reached(self, timeout_s: float = _GATE_TIMEOUT_S) -> None:
        """Wait until the call is here."""
        assert self.reached.wait(timeout_s), "no call reached the gate"

    def release(self) -> None:
        """Let the call go on."""
        self._released.set()

    def pass_through(self) -> None:
        self.reached.set()
        assert self._released.wait(_GATE_TIMEOUT_S), "nobody released the gate"


@dataclass(slots=True)
class _Fault:
    method: str
    after: int
    times: int | None  # None: for ever
    before: Callable[[], None] = lambda: None  # runs before the call, and may raise
    change: Callable[[bytes, int], bytes] = field(default=lambda data, _start: data)  # of what read_ltx gives


class FaultyClient(WrapperClient):
    """A client with faults around any other one."""

    def __init__(self, inner: ReplicaClient) -> None:
        super().__init__(inner)
        vars(self).update(is_local=False)  # a delay or a gate is a network's
        self._lock = threading.Lock()
        self._calls: list[Call] = []  # guarded by _lock
        self._faults: list[_Fault] = []  # guarded by _lock
        self._vanished: set[tuple[int, TXID, TXID]] = set()  # guarded by _lock

    @property
    def calls(self) -> list[Call]:
        """A copy of the calls so far."""
        with self._lock:
            return list(self._calls)

    def count(self, method: str) -> int:
        """Return how often a method was called."""
        _check(method)
        return sum(call.method == method for call in self.calls)

    def clear_calls(self) -> None:
        with self._lock:
            self._calls.clear()

    def heal(self) -> None:
        """Forget all faults, and let vanished files be seen again; held calls stay held."""
        with self._lock:
            self._faults.clear()
            self._vanished.clear()

    def fail(self, method: str, error: BaseException, *, after: int = 0, times: int | None = 1) -> None:
        """Let calls raise: none of the next `after`, then `times`; None means every one."""

        def raise_it() -> None:
            raise error.with_traceback(None)  # else each raise would add to the last one's

        self._plant(_Fault(_check(method), after, times, before=raise_it))

    def delay(self, method: str, seconds: float, *, after: int = 0, times: int | None = 1) -> None:
        """Let calls take that much longer."""
        self._plant(_Fault(_check(method), after, times, before=lambda: time.sleep(seconds)))

    def hold(self, method: str, *, after: int = 0) -> Gate:
        """Let one call wait until the gate is released."""
        gate = Gate()
        self._plant(_Fault(_check(method), after, 1, before=gate.pass_through))
        return gate

    def truncate(self, size: int, *, after: int = 0, times: int | None = 1) -> None:
        """Let reads give no more than `size` bytes."""
        self._plant(_Fault("read_ltx", after, times, change=lambda data, _start: data[:size]))

    def flip_bit(self, offset: int, *, bit: int = 0, after: int = 0, times: int | None = 1) -> None:
        """Let reads that cover byte `offset` of their file give it with one bit flipped."""

        def flip(data: bytes, start: int) -> bytes:
            place = offset - start
            if not 0 <= place < len(data):
                return data
            return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]

        self._plant(_Fault("read_ltx", after, times, change=flip))

    def vanish(self, info: FileInfo) -> None:
        """Let a file be listed, and missing when it is read."""
        with self._lock:
            self._vanished.add((info.level, info.min_txid, info.max_txid))

    def init(self) -> None:
        self._begin(Call("init"))
        super().init()

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        self._begin(Call("ltx_files", level, seek=seek, use_metadata=use_metadata))
        return super().ltx_files(level, seek, use_metadata=use_metadata)

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        faults = self._begin(Call("read_ltx", info.level, info.min_txid, info.max_txid, start, end))
        self._check_vanished(info.level, info.min_txid, info.max_txid)
        data = super().read_ltx(info, start, end)
        for fault in faults:
            data = fault.change(data, start)
        return data

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        self._begin(Call("open_ltx_file", level, min_txid, max_txid, offset, offset + size if size else None))
        info = FileInfo(level=level, min_txid=min_txid, max_txid=max_txid)
        return open_range_reader(
            lambda _identity, start, end: Chunk(self.read_ltx(info, start, end)), offset=offset, size=size
        )

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        self._begin(Call("write_ltx_file", level, min_txid, max_txid))
        return super().write_ltx_file(level, min_txid, max_txid, reader, if_absent=if_absent)

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        self._begin(Call("delete_ltx_files"))
        super().delete_ltx_files(infos)

    def delete_all(self) -> None:
        self._begin(Call("delete_all"))
        super().delete_all()

    def _plant(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _begin(self, call: Call) -> list[_Fault]:
        """Note a call, let its faults act, and return them."""
        due: list[_Fault] = []
        with self._lock:
            self._calls.append(call)
            for fault in self._faults:
                if fault.method != call.method:
                    continue
                if fault.after > 0:
                    fault.after -= 1
                elif fault.times is None or fault.times > 0:
                    fault.times = None if fault.times is None else fault.times - 1
                    due.append(fault)
        for fault in due:
            fault.before()
        return due

    def _check_vanished(self, level: int, min_txid: TXID, max_txid: TXID) -> None:
        with self._lock:
            gone = (level, min_txid, max_txid) in self._vanished
        if gone:
            msg = f"{min_txid:016x}-{max_txid:016x} of level {level} has vanished"
            raise LTXMissingError(msg)


def _check(method: str) -> str:
    assert method in METHODS, f"no such method: {method}"
    return method
