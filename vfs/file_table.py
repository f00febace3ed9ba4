"""The files a replica knows: their identities, their page numbers, and the bytes of those held whole.

Files that were only listed, beside a known one of the same history, are known by identity: they too prove a later
listing to be of that history.

Page numbers are kept of every file seen since the oldest pinned view, because they are what proves that another file
can stand in for one that vanished. Bytes of small files are held within a budget, the newest longest.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from threading import Lock

from replication.ltx.file_info import FileInfo
from vfs.load import LoadedFile
from vfs.ltx_file import LTXFile
from vfs.repair import KnownFile

HELD_SIZE = 16 * 2**20
"""How many bytes of whole files are held at most."""

MAX_KNOWN_FILES = 65_536
"""Beyond this the oldest are forgotten: a page lost to a deletion may then fail where it could have been found."""

_Name = tuple[int, int, int]


def _name(info: FileInfo) -> _Name:
    return info.level, info.min_txid, info.max_txid


def _fingerprint(info: FileInfo) -> tuple[_Name, int, object]:
    return _name(info), info.size, info.identity or info.created_at


class FileTable:
    """Files of one history of one replica."""

    def __init__(self, history: int) -> None:
        """Know nothing."""
        self.history = history
        self._lock = Lock()
        self._files: OrderedDict[_Name, LTXFile] = OrderedDict()  # in order of arrival, guarded by _lock
        self._known: OrderedDict[_Name, KnownFile] = OrderedDict()  # those with page numbers, guarded by _lock
        self._seen: dict[int, frozenset[object]] = {}  # fingerprints of the last listing of a level, guarded by _lock
        self._held: OrderedDict[LTXFile, int] = OrderedDict()  # size of each, guarded by _lock
        self._held_size = 0  # guarded by _lock

    def add(self, loaded: Iterable[LoadedFile]) -> None:
        """Know these files."""
        with self._lock:
            for one in loaded:
                name = _name(one.file.info)
                self._files[name] = one.file
                self._known[name] = KnownFile(one.file, one.index)
                if one.file.data is not None and one.file not in self._held:
                    self._held[one.file] = len(one.file.data)
                    self._held_size += len(one.file.data)
            for files in (self._files, self._known):
                while len(files) > MAX_KNOWN_FILES:
                    files.popitem(last=False)
            while self._held_size > HELD_SIZE:
                file, size = self._held.popitem(last=False)
                file.data = None
                self._held_size -= size

    def unify(self, loaded: Iterable[LoadedFile]) -> list[LoadedFile]:
        """Return the files, each as the object it is known by already, so that what is cached of it serves again."""
        with self._lock:
            return [self._as_known(one) for one in loaded]

    def _as_known(self, one: LoadedFile) -> LoadedFile:
        file = self._files.get(_name(one.file.info))
        if file is None or file.info.identity != one.file.info.identity or file.header != one.file.header:
            return one
        file.gone = False
        if file.data is None:
            file.data = one.file.data
        return replace(one, file=file)

    def known(self) -> list[KnownFile]:
        """Return the files whose page numbers are known, in order of arrival."""
        with self._lock:
            return list(self._known.values())

    def knows(self, info: FileInfo) -> bool:
        """Say whether the page numbers of a file are known, and it has not vanished since."""
        with self._lock:
            known = self._known.get(_name(info))
        return known is not None and not known.file.gone

    def get(self, info: FileInfo) -> LTXFile | None:
        """Return the file of that name, whatever its identity, if it was seen."""
        with self._lock:
            return self._files.get(_name(info))

    def see(self, listing: Mapping[int, Iterable[FileInfo]]) -> None:
        """Know the files of these levels by identity: what was listed is of this history."""
        with self._lock:
            for level, infos in listing.items():
                self._seen[level] = frozenset(_fingerprint(info) for info in infos)

    def has_seen(self, info: FileInfo) -> bool:
        """Say whether this very file was in the last listing of its level that is of this history."""
        with self._lock:
            return _fingerprint(info) in self._seen.get(info.level, ())

    def prune(self, txid: int) -> None:
        """Forget the page numbers of files that end before a TXID, which no pinned view is older than."""
        with self._lock:
            for name in [name for name in self._known if name[2] < txid]:
                del self._known[name]
