"""URI parameters and options. Method: examples, and URIs read back by SQLite itself.

Bugs once planted and caught here: spaces written as `+`; a name that begins with `//` taken for a host.
"""

from dataclasses import replace

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replication.errors import UsageError
from replication.position import TXID
from vfs.uri import (
    DEFAULT_CACHE_SIZE,
    DEFAULT_PREFETCH_SIZE,
    Options,
    build_uri,
    check_options,
    parse_parameters,
    prefetch_size,
)

DEFAULTS = Options()


def test_the_defaults_are_those_of_the_go_extension_and_pass_their_own_check() -> None:
    assert (DEFAULTS.poll_interval_s, DEFAULTS.cache_size, DEFAULTS.timeout_s) == (1.0, 10 * 2**20, 30.0)
    assert check_options(DEFAULTS) == DEFAULTS
    assert parse_parameters({}, DEFAULTS) == DEFAULTS


def test_every_parameter_sets_its_option() -> None:
    parameters = {
        "replica_url": "file:///replica",
        "poll_interval": "100ms",
        "cache_size": "64MiB",
        "timeout": "5",
        "max_staleness": "1m30s",
        "txid": "0x2A",
    }
    expected = Options(
        replica_url="file:///replica",
        poll_interval_s=0.1,
        cache_size=64 * 2**20,
        timeout_s=5.0,
        max_staleness_s=90.0,
        txid=TXID(42),
    )
    assert parse_parameters(parameters, DEFAULTS) == expected
    assert parse_parameters({"time": "-5 minutes"}, DEFAULTS) == replace(DEFAULTS, time="-5 minutes")


def test_what_is_not_given_stays_as_the_base_has_it() -> None:
    base = Options(poll_interval_s=5.0, replica_url="file:///replica")
    assert parse_parameters({"cache_size": "-1"}, base) == replace(base, cache_size=-1)


def test_one_target_replaces_the_other() -> None:
    assert parse_parameters({"time": "-5m"}, Options(txid=TXID(3))) == Options(time="-5m")
    assert parse_parameters({"txid": "3"}, Options(time="-5m")) == Options(txid=TXID(3))


def test_a_cache_size_of_zero_means_the_default() -> None:
    assert parse_parameters({"cache_size": "0"}, Options(cache_size=5)).cache_size == DEFAULT_CACHE_SIZE


def test_the_parameters_of_sqlite_pass() -> None:
    parameters = {"vfs": "litestream", "mode": "ro", "cache": "private", "modeof": "other.db", "psow": "1"}
    assert parse_parameters(parameters, DEFAULTS) == DEFAULTS


def test_parts_not_built_may_be_switched_off() -> None:
    assert not parse_parameters({"hydration_enabled": "false"}, DEFAULTS).hydration_enabled


@pytest.mark.parametrize(
    ("text", "size"),
    [("on", DEFAULT_PREFETCH_SIZE), ("1", DEFAULT_PREFETCH_SIZE), ("off", 0), ("0", 0), ("64KiB", 2**16)],
)
def test_prefetch_is_on_or_off_or_a_size(text: str, size: int) -> None:
    assert prefetch_size(parse_parameters({"prefetch": text}, DEFAULTS).prefetch) == size


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"prefetch": "16"}, "from 65536 to 1073741824 bytes"),
        ({"prefetch": "often"}, "expected on, off, or a size such as 16MiB, got 'often'"),
        ({"cache_dir": "cache"}, "cache_dir=cache: not supported yet"),
        ({"hydration_enabled": "true"}, "hydration_enabled=True: not supported yet"),
        ({"hydration_path": "copy.db"}, "hydration_path=copy.db: not supported yet"),
        ({"immutable": "1"}, "immutable is refused"),
        ({"nolock": "0"}, "nolock is refused"),
        ({"pol_interval": "1"}, "'pol_interval': did you mean poll_interval"),
        ({"Time": "latest"}, "'Time': did you mean time"),
        ({"write_enabled": "1"}, "unknown parameter 'write_enabled'"),
        ({"xyz": "1"}, "'xyz': expected one of cache, cache_dir"),
        ({"time": "latest", "txid": "1"}, "got both"),
        ({"time": ""}, "time="),
        ({"replica_url": ""}, "replica_url="),
        ({"txid": "0"}, "txid=0"),
        ({"txid": "pi"}, "txid=pi"),
        ({"poll_interval": "often"}, "poll_interval=often"),
        ({"poll_interval": "0"}, "from 10ms to 24h"),
        ({"poll_interval": "-1s"}, "from 10ms to 24h"),
        ({"poll_interval": "25h"}, "from 10ms to 24h"),
        ({"timeout": "0"}, "from 1ms to 24h"),
        ({"max_staleness": "0"}, "from 1ms to 24h"),
        ({"cache_size": "large"}, "cache_size=large"),
        ({"hydration_enabled": "perhaps"}, "hydration_enabled=perhaps"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(parameters: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_parameters(parameters, DEFAULTS)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        Options(time="-5m", txid=TXID(1)),
        Options(poll_interval_s=float("nan")),
        Options(timeout_s=0.0),
        Options(max_staleness_s=-1.0),
        Options(prefetch=16),
        Options(cache_dir="cache"),
        Options(txid=TXID(0)),
    ],
)
def test_options_given_by_keyword_are_checked_too(options: Options) -> None:
    with pytest.raises(UsageError):
        check_options(options)


def test_options_show_no_url_because_it_may_hold_credentials() -> None:
    assert "secret" not in repr(Options(replica_url="s3://key:secret@bucket"))


class NamesVFS(apsw.VFS):
    """Keeps what SQLite reads out of a URI."""

    def __init__(self) -> None:
        self.seen: tuple[str, dict[str, str]] = ("", {})
        super().__init__("names", "")

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - APSW's name
        return name

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        del flags
        assert isinstance(name, apsw.URIFilename)
        self.seen = (name.filename(), {key: name.uri_parameter(key) or "" for key in name.parameters})
        raise apsw.CantOpenError


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
    | st.text("/?#&=%+ :.a", min_size=1, max_size=12),
    st.dictionaries(
        st.text("ab%&= +", min_size=1, max_size=4),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
        max_size=3,
    ),
)
@example(name="//host/app.db", parameters={})
@example(name="s3://bucket/app?region=x", parameters={"time": "-5 minutes"})
def test_sqlite_reads_a_uri_as_it_was_meant(name: str, parameters: dict[str, str]) -> None:
    vfs = NamesVFS()
    try:
        with pytest.raises(apsw.CantOpenError):
            apsw.Connection(
                build_uri(name, parameters, vfs="names"), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            )
    finally:
        vfs.unregister()
    assert vfs.seen == (name, {"vfs": "names", **parameters})


@pytest.mark.parametrize(("name", "parameters"), [("", {}), ("a\0b", {}), ("a", {"": "1"}), ("a", {"time": "\0"})])
def test_what_no_uri_can_say_is_refused(name: str, parameters: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="expected a name"):
        build_uri(name, parameters)
