"""Being told by the operating system that a file replica has got a file, through the package watchfiles.

What is watched is the directory `ltx` with all below it. While it is not there, the nearest parent that is stands in,
and whenever another directory is the one to watch (the replica was deleted, made, or made anew) the watch begins anew.
That is looked at after each change that is told of, and every second, for a directory that is renamed tells nothing.
One that is deleted tells so, and another one may have its number by then.

watchfiles looks into its list of changes once every step, and gives them out when none came in the last one: so a
change is told of after one to two steps, at the price of that many wakes of a thread. Because of these, and because
the system has few watches to give (128 for each user of Linux), a process has a bounded number of them.

The operating system tells of what is done on this machine. Where the directory is of another one, polling finds it.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from replication.errors import UnavailableError, UsageError
from replication.forking import after_fork_in_child, is_other_process
from replication.log import LOGGER
from replication.ltx.name import ltx_dir, ltx_level_dir, parse_ltx_name

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify  # the documentation of watchfiles has it as "Rust backend"

MAX_WATCHES = 32
"""How many a process may have at once; each costs about 0.3 % of a processor."""

STEP_MS = 10
DEBOUNCE_MS = 20  # after which changes are given out although more keep coming
CHECK_MS = 1000
RETRY_S = 60.0  # when the system has no watch to give
VANISHED_RETRY_S = 0.1  # when the directory went away in between
CLOSE_TIMEOUT_S = 1.0
THREAD_NAME = "litestream-file-watch"

_DELETED = 3  # watchfiles.Change.deleted
_LEVEL_0 = Path(ltx_level_dir("", 0)).name

_free = threading.BoundedSemaphore(MAX_WATCHES)
_importing = threading.Lock()


class FileWatch:
    """Calls a function soon after a file may have appeared at level 0 of a file replica, until it is closed."""

    def __init__(self, root: Path, on_change: Callable[[], None]) -> None:
        """Start the thread.

        Raises:
            UsageError: watchfiles is not installed.
            UnavailableError: there can be no more watches in this process.

        """
        self._notify = _load()
        self._root = root
        self._on_change = on_change
        self._pid = os.getpid()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(_free,), name=THREAD_NAME, daemon=True)
        if not _free.acquire(blocking=False):
            msg = f"this process watches {MAX_WATCHES} file replicas already, and {root} would be one more"
            raise UnavailableError(msg)
        try:
            self._thread.start()
        except RuntimeError as error:
            _free.release()
            msg = f"cannot watch {root}: {error}"
            raise UnavailableError(msg) from error

    def __repr__(self) -> str:
        return f"<FileWatch {self._root} {'closed' if self._closing.is_set() else 'open'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop; the function is not called any more when this returns, unless a call takes long.

        In a forked child this does nothing: the thread stayed in the parent.
        """
        if is_other_process(self._pid):
            return
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self, taken: threading.BoundedSemaphore) -> None:
        told = False
        try:
            while not self._closing.is_set():
                try:
                    self._watch_once()
                except FileNotFoundError:
                    self._closing.wait(VANISHED_RETRY_S)
                except (OSError, RuntimeError) as error:  # RuntimeError is what watchfiles raises of its own
                    log, told = LOGGER.debug if told else LOGGER.info, True
                    log("new files of %s are found by polling only for now: %s", self._root, error)
                    self._closing.wait(RETRY_S)
        finally:
            taken.release()

    def _watch_once(self) -> None:
        """Watch until another directory is the one to watch, or the watch is closed.

        The watch of the system is known here alone, so that it ends with this call, and in no forked child.
        """
        place = _place(self._root)
        with self._notify([str(place.path)], False, False, CHECK_MS, place.is_ltx, True) as notify:
            if _place(self._root) != place:
                return  # it changed before it was watched
            self._tell()
            while True:
                changes = notify.watch(DEBOUNCE_MS, STEP_MS, CHECK_MS, self._closing)
                if changes in {"stop", "signal"}:
                    return
                if not isinstance(changes, str):
                    if _is_news(changes):
                        self._tell()
                    if (_DELETED, str(place.path)) in changes:
                        return
                if _place(self._root) != place:
                    return

    def _tell(self) -> None:
        try:
            self._on_change()
        except Exception:  # noqa: BLE001 - nobody else would hear of it
            LOGGER.exception("what was called for a new file in %s failed", self._root)


@dataclass(frozen=True, slots=True)
class _Place:
    """A directory to watch: if it is the replica's own with all below it, else to see when the next one appears."""

    path: Path
    is_ltx: bool
    device: int
    inode: int


def _place(root: Path) -> _Place:
    directory = Path(ltx_dir(str(root)))
    for path in (directory, *directory.parents):
        with suppress(OSError):
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                return _Place(path, path == directory, found.st_dev, found.st_ino)
    msg = f"not even {directory.anchor} is there"
    raise FileNotFoundError(msg)


def _is_news(changes: Iterable[tuple[int, str]]) -> bool:
    """Say whether a finished file, or the directory for them, may have appeared at level 0.

    A change of a file counts too: a program that writes it in place is seen when it has ended.
    """
    for change, text in changes:
        path = Path(text)
        is_file = path.parent.name == _LEVEL_0 and parse_ltx_name(path.name) is not None
        if change != _DELETED and (is_file or path.name == _LEVEL_0):
            return True
    return False


def _load() -> "type[RustNotify]":
    """Import watchfiles, during which no process is forked: a child would wait for the import for ever.

    Raises:
        UsageError: it is not installed.

    """
    try:
        with _importing:
            from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 - loads anyio, and only some need it
    except ImportError as error:
        msg = "to be told of new files in a directory: pip install apsw-litestream[watch]"
        raise UsageError(msg) from error
    return RustNotify


def _forget_watches() -> None:
    """Begin with none, in a forked child."""
    global _free  # noqa: PLW0603 - its lock may have been held at the fork
    _free = threading.BoundedSemaphore(MAX_WATCHES)


after_fork_in_child(_forget_watches)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release
    )
