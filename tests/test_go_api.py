"""Goal: whatever the Go package exports has its counterpart, which works, and docs/go-api.md says what it is.

Method: each name of the list is in the document and the other way round; what the document says of it is found; and
what is a function or a method in Go is called on real parts, while a profile sees that it is the one that runs.

Bugs that these tests have caught when they were planted: a row without a call, a call of another function, a name
that is not exported.
"""

import builtins
import importlib
import inspect
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

import litestream
from tests.support.go_api_calls import FUNCTIONS, TYPES, Call
from tests.support.go_api_db_calls import DBS, REPLICAS, STORES, WALS
from tests.support.go_api_names import CONSTANTS, NAMES
from tests.support.go_api_parts import Parts, made

DOCUMENT = Path(__file__).parents[1] / "docs" / "go-api.md"
CALLS: dict[str, Call] = {**FUNCTIONS, **TYPES, **DBS, **REPLICAS, **STORES, **WALS}
_ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| (.*?) ?\|$", re.MULTILINE)
_PYTHON = re.compile(r"(?P<owner>\w+)(?:\.(?P<member>\w+))?(?:\((?:(?P<parameter>\w+)=)?\))?")

COUNTERPARTS = {go: python for go, python, _remark in _ROW.findall(DOCUMENT.read_text())}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with made(tmp_path) as parts:
        yield parts


def found(python: str, parts: Parts) -> object:
    """Return what the document's name of ours stands for; a parameter is found by its function."""
    match = _PYTHON.fullmatch(python)
    assert match is not None, python
    owner, member, parameter = match["owner"], match["member"], match["parameter"]
    if owner == "logging":
        owner_object: object = importlib.import_module(owner)
    else:
        owner_object = getattr(litestream if owner in dir(litestream) else builtins, owner)
    if parameter is not None:
        assert callable(owner_object)
        return inspect.signature(owner_object).parameters[parameter]
    if member is None:
        return owner_object
    if owner_object is litestream.ReplicaClient:
        owner_object = litestream.FileReplicaClient  # the contract itself is abstract
    if member in dir(owner_object):
        return inspect.getattr_static(owner_object, member)
    (instance,) = (one for one in vars_of(parts) if type(one) is owner_object)
    return getattr(instance, member)


def vars_of(parts: Parts) -> list[object]:
    """Return an instance of each class that keeps its settings as attributes."""
    return [parts.db, parts.replica, parts.store, litestream.WALReader(parts.read_at)]


def code_of(target: object) -> CodeType | None:
    """Return the code that runs when something of ours is called or read; None if it is not Python's."""
    if isinstance(target, type):
        target = inspect.getattr_static(target, "__init__")
    if isinstance(target, property):
        target = target.fget
    if isinstance(target, classmethod | staticmethod):
        target = target.__func__
    return getattr(inspect.unwrap(target) if callable(target) else target, "__code__", None)


def test_the_document_has_the_names_of_the_go_package_and_no_others() -> None:
    rows = _ROW.findall(DOCUMENT.read_text())
    assert len(NAMES) == len(set(NAMES)) == 185
    assert sorted(go for go, _python, _remark in rows) == sorted(NAMES)
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert len(lines) == len(rows)


def test_each_function_and_method_has_a_call_and_nothing_else_has() -> None:
    assert set(CALLS) == {go for go in NAMES if go.endswith("()")}


@pytest.mark.parametrize("go", [go for go in NAMES if not go.endswith("()")])
def test_a_constant_a_type_or_a_field_is_there(go: str, parts: Parts) -> None:
    assert found(COUNTERPARTS[go], parts) is not None


@pytest.mark.parametrize("go", CONSTANTS)
def test_a_constant_has_the_value_it_has_in_go(go: str, parts: Parts) -> None:
    assert found(COUNTERPARTS[go], parts) == CONSTANTS[go]


@pytest.mark.parametrize("go", CALLS)
def test_a_function_or_a_method_does_what_it_says(go: str, parts: Parts) -> None:
    code = code_of(found(COUNTERPARTS[go], parts))
    ran: set[CodeType] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            ran.add(frame.f_code)

    call, expected = CALLS[go]
    sys.setprofile(note)
    try:
        result = call(parts)
    finally:
        sys.setprofile(None)
    assert result == expected
    assert code is None or code in ran


def test_only_what_is_no_code_of_ours_is_not_seen_running(parts: Parts) -> None:
    unseen = {go for go in CALLS if code_of(found(COUNTERPARTS[go], parts)) is None}
    assert unseen == {
        "PrevFrameMismatchError.Error()",
        "PrevFrameMismatchError.Unwrap()",
        "ReplicaClient.Type()",
        "WALReader.PageSize()",
    }


def test_a_handler_of_the_root_logger_hears_both_sides(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    assert logging.getLogger("litestream") is litestream.ROOT_LOGGER
    with caplog.at_level(logging.INFO, logger="litestream"):
        parts.replica.logger.info("of the write side")
        with litestream.register_read_replica("heard", parts.url) as registered:
            registered.logger.info("of the read side")
    assert caplog.messages == ["of the write side", "of the read side"]


@pytest.mark.parametrize("name", ["logger", "poll_interval_s", "cache_size"])
def test_what_opens_a_replica_takes_the_same_options(name: str) -> None:
    for opener in (litestream.connect, litestream.register_read_replica):
        assert name in inspect.signature(opener).parameters
