"""Names: those of the format and no others, and the paths of the directory layout."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import UsageError
from replication.ltx.name import LTXName, format_ltx_name, ltx_dir, ltx_file_path, ltx_level_dir, parse_ltx_name
from replication.position import TXID

RANGES = st.tuples(st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1)).map(sorted)


@settings(deadline=None)
@given(RANGES)
def test_a_name_comes_back(txids: list[int]) -> None:
    min_txid, max_txid = txids
    name = format_ltx_name(min_txid, max_txid)
    assert parse_ltx_name(name) == LTXName(TXID(min_txid), TXID(max_txid))
    assert str(parse_ltx_name(name)) == name


@settings(deadline=None)
@given(st.text(alphabet="0123456789abcdefxA-./ltm\n", max_size=45))
def test_any_text_is_the_name_it_stands_for_or_none(text: str) -> None:
    found = parse_ltx_name(text)
    assert found is None or str(found) == text


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0000000000000001-0000000000000002.ltx.tmp",
        "0000000000000001-0000000000000002.LTX",
        "000000000000000A-000000000000000B.ltx",
        "0000000000000001-000000000000002.ltx",
        "0000000000000001-0000000000000002.ltx\n",
        " 0000000000000001-0000000000000002.ltx",
        "0/0000000000000001-0000000000000002.ltx",
        "0000000000000002-0000000000000001.ltx",
        "0000000000000000-0000000000000001.ltx",
        "\u0660000000000000001-0000000000000002.ltx",
        "lock.json",
    ],
)
def test_other_names_are_none(name: str) -> None:
    assert parse_ltx_name(name) is None


@pytest.mark.parametrize(("root", "prefix"), [("", ""), ("/", "/"), ("a/b", "a/b/"), ("/a/", "/a/")])
def test_paths_are_those_of_the_real_program(root: str, prefix: str) -> None:
    assert ltx_dir(root) == f"{prefix}ltx"
    assert ltx_level_dir(root, 0) == f"{prefix}ltx/0"
    assert ltx_file_path(root, 9, 1, 255) == f"{prefix}ltx/9/0000000000000001-00000000000000ff.ltx"


@pytest.mark.parametrize("level", [-1, 10])
def test_a_path_of_no_level_is_refused(level: int) -> None:
    with pytest.raises(UsageError):
        ltx_file_path("", level, 1, 1)
