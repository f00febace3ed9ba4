"""A mapping of the configuration, whose values are asked for by name and type.

Errors say where: `line 7: dbs[0].replica.sync-interval: expected a duration such as 30s or 1m30s, got 5x`. A value that
may be secret is never shown.
"""

import re
from collections.abc import Collection, Mapping
from typing import NoReturn

from litestream.config_yaml import Mapped, Node, Scalar, Sequenced
from replication.client.url_parse import unknown_name
from replication.errors import UsageError
from vfs.duration import parse_go_duration, parse_size

_TRUE = frozenset({"true", "yes", "on", "y", "1", "t"})
_FALSE = frozenset({"false", "no", "off", "n", "0", "f"})
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")


class Section:
    """One mapping; a key whose value is empty counts as not given."""

    def __init__(self, node: Mapped | None, place: str = "") -> None:
        """Name its place, as in `dbs[0].replica`; the document itself has none."""
        self.place = place
        self.line = 0 if node is None else node.line
        self._items: Mapping[str, Node | None] = {} if node is None else node.items
        self._lines: Mapping[str, int] = {} if node is None else node.key_lines

    @classmethod
    def of(cls, node: Node | None, place: str = "") -> "Section":
        """Return the section that a node is; an empty one has no keys.

        Raises:
            UsageError: it is a text or a list.

        """
        if node is None or isinstance(node, Mapped):
            return cls(node, place)
        shown = place or "the configuration"
        msg = f"line {node.line}: {shown}: expected settings as `name: value`, got {_kind(node)}"
        raise UsageError(msg)

    def __contains__(self, key: str) -> bool:
        return self._items.get(key) is not None

    def given(self) -> list[str]:
        """Return the names of all keys that have a value."""
        return [key for key, value in self._items.items() if value is not None]

    def where(self, key: str = "") -> str:
        """Return the line and the place of a key, or of the section, as errors name them."""
        line = self._lines.get(key, self.line)
        path = ".".join(part for part in (self.place, key) if part)
        return f"line {line}: {path}" if line else path

    def fail(self, message: str, key: str = "") -> NoReturn:
        """Raise the error about a key, or about the section."""
        msg = f"{self.where(key)}: {message}"
        raise UsageError(msg)

    def check_names(self, known: Collection[str]) -> None:
        """Check that all keys are known.

        Raises:
            UsageError: one is not; the message has the nearest one that is.

        """
        for key in self._items:
            if key not in known:
                self.fail(unknown_name("setting", key, known), key)

    def text(self, key: str) -> str:
        """Return a text, empty if there is none."""
        node = self._items.get(key)
        if node is None:
            return ""
        if not isinstance(node, Scalar):
            self.fail(f"expected a text, got {_kind(node)}", key)
        return node.text

    def texts(self, key: str) -> list[str]:
        """Return the texts in the list of a key, or the one text that it is."""
        node = self._items.get(key)
        items = [node] if isinstance(node, Scalar) else self._list(key)
        if not all(isinstance(item, Scalar) for item in items):
            self.fail("expected a list of texts", key)
        return [item.text for item in items if isinstance(item, Scalar)]

    def boolean(self, key: str) -> bool | None:
        """Return a truth value, or None."""
        text = self.text(key).strip().lower()
        if text and text not in _TRUE | _FALSE:
            self.fail(f"expected true or false, got {text}", key)
        return text in _TRUE if text else None

    def whole(self, key: str, *, least: int = 0) -> int | None:
        """Return a whole number, or None."""
        text = self.text(key).strip()
        if not text:
            return None
        if not _WHOLE.fullmatch(text) or int(text) < least:
            self.fail(f"expected a whole number from {least} on, got {text}", key)
        return int(text)

    def size(self, key: str) -> int | None:
        """Return a number of bytes, or None: `64MiB`, `10MB`, `65536`."""
        text = self.text(key).strip()
        if not text:
            return None
        try:
            size = parse_size(text)
        except UsageError as error:
            self.fail(str(error), key)
        if size < 0:
            self.fail(f"expected a size of 0 bytes or more, got {text}", key)
        return size

    def duration(self, key: str, *, least_s: float = 0.0, above_s: float | None = None) -> float | None:
        """Return a duration in seconds, or None; a number needs a unit, because to Go it means nanoseconds."""
        text = self.text(key).strip()
        if not text:
            return None
        nanoseconds = parse_go_duration(text)
        if nanoseconds is None:
            self.fail(f"expected a duration such as 30s or 1m30s, got {text}", key)
        seconds = nanoseconds / 1_000_000_000
        if above_s is not None and seconds <= above_s:
            self.fail(f"expected a duration above {above_s:g}s, got {text}", key)
        if seconds < least_s:
            self.fail(f"expected a duration of at least {least_s:g}s, got {text}", key)
        return seconds

    def section(self, key: str) -> "Section":
        """Return the mapping of a key, one without keys if there is none."""
        return Section.of(self._items.get(key), self._path(key))

    def sections(self, key: str) -> list["Section"]:
        """Return the mappings in the list of a key."""
        return [Section.of(item, f"{self._path(key)}[{number}]") for number, item in enumerate(self._list(key))]

    def _path(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def _list(self, key: str) -> list[Node | None]:
        node = self._items.get(key)
        if node is None:
            return []
        if not isinstance(node, Sequenced):
            self.fail(f"expected a list, got {_kind(node)}", key)
        return list(node.items)


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "a text"
    return "a list" if isinstance(node, Sequenced) else "settings"
