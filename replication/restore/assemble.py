"""Writing the pages of a plan, side by side, each page once and every file verified.

Every file is read whole, in pieces that are read, decoded and written independently; each page is written from the
newest file that holds it. Where a file was deleted meanwhile there is a next plan, and what is verified and still
wanted stays: a page is kept when the file it was written from is verified, and supplies it in the new plan too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from replication.client.base import ReplicaClient
from replication.errors import LTXMissingError
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE
from replication.restore.assembly import Piece, drop_other_page_sizes, split, supplied_positions, supplying_files
from replication.restore.copy import CopiedPiece, FileVerifier, PieceCopier, Task
from replication.restore.load import LoadedFile, load_plan
from replication.restore.progress import ThrottledProgress
from replication.restore.target import OutputFile
from replication.restore.workers import Workers

MAX_PLANS = 8
"""How often a restore plans, when files keep being deleted while it runs."""

SYNC_SIZE = 64 * 2**20
"""After so many bytes the output is synced, so that the disk is at work from early on, and the end comes sooner."""


class Assembler:
    """Writes the pages of one plan after another into the same file, until one plan is done.

    `_written` says for each page the id of the verified file it was written from; 0 while that is not sure.
    """

    def __init__(self, client: ReplicaClient, output: OutputFile, *, threads: int, progress: ThrottledProgress) -> None:
        """Read from a client, with so many requests at once, and write to an output."""
        self._client = client
        self._output = output
        self._threads = threads
        self._progress = progress
        self._ids: dict[FileInfo, int] = {}  # from 1
        self._page_size = 0  # before the first plan
        self._written: NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)
        self.bytes_read = 0

    def assemble(self, plan: Sequence[FileInfo], plan_again: Callable[[], Sequence[FileInfo]]) -> Sequence[LoadedFile]:
        """Write the pages, planning again around files that are gone; return the files they came from.

        Raises:
            LTXMissingError: files kept being deleted.
            LTXError, ChecksumMismatchError: a file is broken.
            DeniedError, UnavailableError: the storage or the operating system refused, or did not answer.

        """
        missing: LTXMissingError | None = None
        for attempt in range(MAX_PLANS):
            if attempt > 0:
                plan = plan_again()
            try:
                return self._run(plan)
            except LTXMissingError as error:
                missing = error
        msg = f"files vanished while they were read, {MAX_PLANS} times in a row: {missing}"
        raise LTXMissingError(msg) from missing

    def _run(self, plan: Sequence[FileInfo]) -> Sequence[LoadedFile]:
        """Write the pages of a plan, and return the files they came from.

        Raises:
            LTXMissingError: a file is gone; what is done stays done.

        """
        files = drop_other_page_sizes(load_plan(self._client, plan, self._threads))
        self.bytes_read += sum(file.bytes_read for file in files)
        suppliers = supplying_files(files)
        is_first = self._page_size == 0
        written = self._written = self._carried_over(files[-1])
        numbered = list(enumerate(files, 1))
        waiting = {number: file for number, file in numbered if not self._is_done(number, file, suppliers)}
        for number, file in waiting.items():
            written[_supplied_pages(number, file, suppliers)] = 0
        self._progress.begin(
            sum(file.info.size for file in files),
            sum(file.info.size for number, file in numbered if number not in waiting),
        )
        copier = PieceCopier(self._client, self._output.write, skip_zeros=is_first)
        workers = Workers(copier.copy, _tasks(waiting, suppliers), threads=self._threads)
        try:
            self._take(workers, waiting, suppliers)
        except LTXMissingError:
            workers.stop()
            workers.join()  # who is still writing would write over the pages of the next plan
            raise
        finally:
            workers.stop()
        self._progress.end()
        return files

    def _take(
        self, copied: Iterable[CopiedPiece], waiting: Mapping[int, LoadedFile], suppliers: NDArray[np.uint32]
    ) -> None:
        """Take what the workers did, until all files are verified."""
        verifiers = {number: FileVerifier(file) for number, file in waiting.items()}
        unsynced = 0
        for piece in copied:
            unsynced += piece.checked_size
            if unsynced >= SYNC_SIZE:
                self._output.sync()  # the workers go on meanwhile
                unsynced = 0
            self.bytes_read += piece.bytes_read
            self._progress.add(piece.stored_size)
            if verifiers[piece.number].add(piece):
                file = waiting[piece.number]
                self._written[_supplied_pages(piece.number, file, suppliers)] = self._id(file)
                self._progress.add(file.info.size - (file.index.end - HEADER_SIZE))

    def _carried_over(self, last: LoadedFile) -> NDArray[np.uint32]:
        """Return what is written already of the database that this file is the last of."""
        header = last.header
        carried = np.zeros(header.commit, dtype=np.uint32)
        if self._page_size == header.page_size:
            both = min(len(carried), len(self._written))
            carried[:both] = self._written[:both]
        self._page_size = header.page_size
        return carried

    def _is_done(self, number: int, file: LoadedFile, suppliers: NDArray[np.uint32]) -> bool:
        """Say whether a file was verified before, and all that it supplies is written."""
        if file.info not in self._ids:
            return False
        return bool((self._written[_supplied_pages(number, file, suppliers)] == self._id(file)).all())

    def _id(self, file: LoadedFile) -> int:
        return self._ids.setdefault(file.info, len(self._ids) + 1)


def _tasks(files: Mapping[int, LoadedFile], suppliers: NDArray[np.uint32]) -> Iterator[Task]:
    """Yield the pieces of files, those of low levels first: they are the first to be deleted."""
    for number, file in sorted(files.items(), key=lambda item: item[1].info.level):
        for piece in split(file.index, file.header.page_size):
            yield Task(number, file, piece, suppliers)


def _supplied_pages(number: int, file: LoadedFile, suppliers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the indexes of the pages that a file supplies, counted from 0."""
    everything = Piece(0, len(file.index))
    return file.index.pgnos[supplied_positions(file, suppliers, number, everything)] - 1
