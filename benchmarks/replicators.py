"""Who replicates a database, each with its defaults: ours, the real program, or nobody, to compare with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measured import MeasuredProgram
from benchmarks.systems import GO
from tests.support.litestream_program import FileReplica, find_program
from tests.support.waiting import wait_until

NOBODY = "nobody"
START_TIMEOUT_S = 30.0


def command(system: str, database: Path, replica: FileReplica) -> list[str | Path]:
    """Return the command that replicates until SIGTERM."""
    program = [find_program()] if system == GO else [sys.executable, "-m", "litestream"]
    return [*program, "replicate", database, replica.url]


@contextmanager
def replicating(system: str, database: Path, replica: FileReplica) -> Iterator[MeasuredProgram | None]:
    """Replicate, once what is there now is in the replica; None is what replicates for nobody."""
    if system == NOBODY:
        yield None
        return
    log_path = database.with_name(f"{system}.log")
    with MeasuredProgram(command(system, database, replica), {}, log_path) as program:

        def has_begun() -> bool:
            program.check_running()
            return bool(level_0(replica))

        wait_until(has_begun, f"the first file by {system}", timeout_s=START_TIMEOUT_S)
        yield program


def level_0(replica: FileReplica) -> list[Path]:
    """Return the replica's files of level 0."""
    return sorted((replica.path / "ltx" / "0").glob("*.ltx"))
