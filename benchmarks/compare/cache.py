"""What takes long to build and is the same in every run: kept in `benchmarks/.cache`, which git ignores."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parents[1] / ".cache"


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """Return the directory of a name, which `build` fills if it is not there; the name says all it depends on.

    It is built under another name, so that one that is there is whole; so links in it must be relative.
    """
    directory = DIRECTORY / name
    if not directory.is_dir():
        DIRECTORY.mkdir(exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=DIRECTORY))
        try:
            build(unfinished)
            unfinished.rename(directory)
        except BaseException:
            shutil.rmtree(unfinished)
            raise
    return directory
