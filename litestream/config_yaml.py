"""From a text to the nodes of a YAML document, which know the lines they stand on.

Scalars stay the texts they were written as, so that `secret-access-key: 0123` is no number: what a value has to be is
known where it is asked for (`config_values.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replication.errors import UsageError

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_MISSING = "reading a configuration file needs PyYAML: pip install apsw-litestream[cli]"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, as it was written."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Sequenced:
    """A list; None stands for a value that is empty."""

    line: int
    items: Sequence["Node | None"]


@dataclass(frozen=True, slots=True)
class Mapped:
    """Keys and values; None stands for a value that is empty."""

    line: int
    items: Mapping[str, "Node | None"]
    key_lines: Mapping[str, int]


Node = Scalar | Sequenced | Mapped


def parse_yaml(text: str) -> Node | None:
    """Return the one document of a text, or None if it is empty.

    Raises:
        UsageError: PyYAML is not installed, or the text is no YAML, or it has a key twice.

    """
    try:
        import yaml  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(_MISSING) from error
    try:
        loader = yaml.SafeLoader(text)
        try:
            return _convert(loader, loader.get_single_node())
        finally:
            loader.dispose()
    except yaml.composer.ComposerError as error:
        # Its text is not shown: what is taken for an alias may be a password that begins with a star.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        msg = f"line {line}: not valid YAML: expected one document; a value that begins with * needs quotes"
        raise UsageError(msg) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        msg = f"{place}not valid YAML: {error.problem or error.context}"
        raise UsageError(msg) from error
    except yaml.YAMLError as error:
        msg = f"not valid YAML: {error}"
        raise UsageError(msg) from error
    except RecursionError:
        msg = "not a configuration: it is nested without end"
        raise UsageError(msg) from None


def _convert(loader: Any, node: Any) -> Node | None:  # noqa: ANN401 - PyYAML's nodes have no useful types
    import yaml  # noqa: PLC0415

    if node is None or node.tag == _NULL:
        return None
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return Scalar(line, node.value)
    if isinstance(node, yaml.SequenceNode):
        return Sequenced(line, [_convert(loader, item) for item in node.value])
    _check_keys(node)
    loader.flatten_mapping(node)
    items: dict[str, Node | None] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:  # what was merged in comes first
        items[key.value] = _convert(loader, value)
        lines[key.value] = key.start_mark.line + 1
    return Mapped(line, items, lines)


def _check_keys(node: Any) -> None:  # noqa: ANN401
    """Check that keys are texts, and that none stands there twice: the first would be lost in silence."""
    seen: set[str] = set()
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key.value, str):
            msg = f"line {line}: expected the name of a setting, got a list or a mapping"
            raise UsageError(msg)
        if key.value in seen and key.tag != _MERGE:
            msg = f"line {line}: {key.value} stands there twice"
            raise UsageError(msg)
        seen.add(key.value)
