"""Typed access to the settings of a replica, under the three ways to write their names.

A name is `part_size` as an option, and `partSize` or `part-size` in a URL, as the Go program takes them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from replication.client.url_parse import unknown_name
from replication.errors import UsageError

_TRUE = {"true", "1", "t", "yes"}
_FALSE = {"false", "0", "f", "no"}
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[kmgKMG]?)(?P<binary>i?)[bB]?")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


@dataclass(frozen=True, slots=True)
class SettingNames:
    """What can be set of a kind of replica, `an S3 replica`: in its URL too, and by an option only."""

    kind: str
    url: tuple[str, ...]
    option_only: tuple[str, ...]


class Values:
    """The settings that were given; what an option says goes before the URL."""

    def __init__(self, names: SettingNames, query: Mapping[str, str], options: Mapping[str, object]) -> None:
        """Check the names.

        Raises:
            UsageError: there is no such setting.

        """
        by_url_name = {url_name: name for name in names.url for url_name in spellings(name)}
        option_names = (*names.url, *names.option_only)
        self._values: dict[str, object] = {}
        for url_name, text in query.items():
            if url_name not in by_url_name:
                raise UsageError(unknown_name(f"parameter of the URL of {names.kind}", url_name, by_url_name))
            if text:
                self._values[by_url_name[url_name]] = text
        for name, value in options.items():
            if name not in option_names:
                raise UsageError(unknown_name(f"option of {names.kind}", name, option_names))
            if value is not None:
                self._values[name] = value

    def any(self, name: str) -> object:
        """Return a value as it was given, or None."""
        return self._values.get(name)

    def text(self, name: str) -> str:
        """Return a text, empty if there is none."""
        value = self._values.get(name, "")
        if not isinstance(value, str):
            self.refuse(name, "a text", type(value).__name__)
        return value.strip()

    def boolean(self, name: str) -> bool | None:
        """Return a truth value, or None."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text not in _TRUE and text not in _FALSE:
            self.refuse(name, "true or false", value)
        return text in _TRUE

    def whole(self, name: str, *, least: int) -> int | None:
        """Return a whole number, or None."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            number = int(str(value))
        except ValueError:
            number = least - 1
        if number < least:
            self.refuse(name, f"a whole number from {least} on", value)
        return number

    def size(self, name: str, *, least: int) -> int | None:
        """Return a number of bytes, or None; `5MB` is in powers of 1000, `5MiB` of 1024."""
        value = self._values.get(name)
        if value is None:
            return None
        found = _SIZE.fullmatch(str(value).strip())
        size = 0
        if found is not None:
            size = int(float(found["number"]) * (1024 if found["binary"] else 1000) ** _POWERS[found["unit"].lower()])
        if size < least:
            self.refuse(name, f"a size of at least {least} bytes, like 16MiB", value)
        return size

    def seconds(self, name: str) -> float | None:
        """Return a duration in seconds, or None."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            self.refuse(name, "a number of seconds above 0", value)
        return float(value)

    def file(self, name: str, path: str) -> str:
        """Return the content of the file that a value names, stripped."""
        try:
            return Path(path).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"cannot read {name} {path!r}: {type(error).__name__}"
            raise UsageError(msg) from error

    def refuse(self, name: str, expected: str, got: object) -> NoReturn:
        """Raise the error for a wrong value, which the message shows."""
        msg = f"expected {expected} as {name}, got {got!r}"
        raise UsageError(msg)


def spellings(name: str) -> tuple[str, ...]:
    """Return how the Go program writes a setting in a URL: camelCase and kebab-case."""
    first, *rest = name.split("_")
    camel = first + "".join({"md5": "MD5"}.get(word, word.capitalize()) for word in rest)
    return camel, "-".join([first, *rest])
