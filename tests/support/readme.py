"""The README as tests see it: its blocks, its tables, and the replica its examples read."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.small_replica import make_replica

README = Path(__file__).parents[2] / "README.md"
URL = "file:///srv/replica"
"""Where the README's replica is; the tests put theirs in its place, and another directory in place of `/srv`."""

STEPS = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO item VALUES (1, 'apple')",
    "INSERT INTO item VALUES (2, 'bread')",
)

_EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<output>.*?)```", re.DOTALL)
_CODE = re.compile(r"```python\n", re.DOTALL)
_NAME = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Example:
    """A block of Python and what it prints."""

    code: str
    output: str


def read() -> str:
    return README.read_text()


def examples(directory: Path) -> list[Example]:
    """Return the README's examples, which read a replica made in `directory`."""
    url = make_replica(directory, STEPS)
    elsewhere = directory.with_name(f"{directory.name}-srv")
    elsewhere.mkdir()
    found = [
        Example(one["code"].replace(URL, url).replace("/srv/", f"{elsewhere}/"), one["output"])
        for one in _EXAMPLE.finditer(read())
    ]
    assert len(found) == len(_CODE.findall(read())), "a block of Python has no output beside it"
    return found


def table(heading: str, column: str) -> dict[str, list[str]]:
    """Return a table under a heading, whose first column is called so: its rows' other cells, by the names in each."""
    text = read().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = text.partition(f"| {column} |")[2].splitlines()[2:]
    rows: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        first, *others = (cell.strip() for cell in line.strip("|").split(" | "))
        for name in _NAME.findall(first):
            assert name not in rows, f"{name} stands twice under {heading}"
            rows[name] = [cell.strip(" |") for cell in others]
    return rows
