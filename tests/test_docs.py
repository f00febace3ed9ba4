"""Goal: the README and docstrings are true. Method: run their examples, and hold tables to what the code knows."""

import base64
import contextlib
import doctest
import hashlib
import importlib
import io
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import apsw
import pytest

import litestream
from litestream.cli import LATER as LATER_COMMANDS
from litestream.cli import commands
from litestream.config import parse_config
from replication.client.s3_config import SETTINGS, s3_config
from replication.client.url_parse import parse_replica_url
from replication.client.values import spellings
from tests.support import readme
from vfs import pragma, uri
from vfs.duration import parse_duration, parse_size
from vfs.functions import HISTORY_TABLE

LATER = "not supported yet"
ROOT = readme.README.parent
PACKAGES = ("litestream", "replication", "vfs")
EXAMPLES = [
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text()
]
S3_KEY = base64.b64encode(bytes(32)).decode()
S3_KEY_MD5 = base64.b64encode(hashlib.md5(bytes(32), usedforsecurity=False).digest()).decode()


def later(rows: dict[str, list[str]]) -> set[str]:
    return {name for name, cells in rows.items() if cells[0] == LATER}


def test_the_examples_print_what_stands_below_them(tmp_path: Path) -> None:
    for example in readme.examples(tmp_path / "replica"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(example.code, "README.md", "exec"), {})  # noqa: S102 - our own README
        assert output.getvalue() == example.output


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_the_examples_in_docstrings_give_what_stands_below_them(path: Path) -> None:
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_the_table_of_pragmas_lists_what_the_code_knows() -> None:
    rows = readme.table("Pragmas", "pragma")
    assert later(rows) == set(pragma._LATER)
    assert set(rows) - later(rows) == set(pragma._PRAGMAS)


def test_every_pragma_of_the_table_answers_or_needs_a_value(tmp_path: Path) -> None:
    readme.examples(tmp_path / "replica")
    with contextlib.closing(litestream.connect(f"file://{tmp_path}/replica")) as connection:
        rows = readme.table("Pragmas", "pragma")
        for name in rows:
            if name in later(rows):
                with pytest.raises(apsw.SQLError, match=LATER):
                    connection.pragma(name)
            else:
                value = ("1",) if name == "litestream_wait" else ()
                assert isinstance(connection.pragma(name, *value), str)


def test_the_table_of_uri_parameters_lists_what_the_code_knows() -> None:
    assert set(readme.table("URI parameters", "parameter")) == set(uri._PARSERS)


@pytest.mark.parametrize("name", ["cache_dir", "hydration_enabled", "hydration_path"])
def test_a_uri_parameter_that_is_not_supported_yet_is_refused(name: str) -> None:
    assert name in later(readme.table("URI parameters", "parameter"))
    with pytest.raises(litestream.UsageError, match=LATER):
        uri.parse_parameters({name: "1"}, uri.Options())


def test_the_defaults_of_the_uri_parameters_are_those_of_the_code() -> None:
    defaults = {name: cells[1].strip("`") for name, cells in readme.table("URI parameters", "parameter").items()}
    options = uri.Options()
    assert parse_duration(defaults["poll_interval"]) == options.poll_interval_s
    assert parse_duration(defaults["timeout"]) == options.timeout_s
    assert parse_size(defaults["cache_size"]) == options.cache_size
    assert (defaults["max_staleness"], options.max_staleness_s) == ("no limit", None)


def test_the_table_of_stores_lists_those_there_are() -> None:
    # In a process of its own, because tests of other modules add schemes.
    code = "from replication.client import url; print(*url._factories)"
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert {text.partition(":")[0] for text in readme.table("Storage", "URL")} == set(known.split())


def test_the_table_of_s3_parameters_lists_what_the_code_knows() -> None:
    known = [{*spellings(name)} for name in SETTINGS.url]
    shown = list(readme.table("Storage", "parameter"))
    assert [len(spellings.intersection(shown)) for spellings in known] == [1] * len(shown)


@pytest.mark.parametrize("name", readme.table("Storage", "parameter"))
def test_an_s3_parameter_is_taken_as_the_table_writes_it(name: str) -> None:
    values = {
        "endpoint": "localhost:9000",
        "concurrency": "3",
        "partSize": "8MiB",
        "sseCustomerAlgorithm": "AES256",
        "sseCustomerKey": S3_KEY,
        "sseCustomerKeyMD5": S3_KEY_MD5,
    }
    query = {name: values.get(name, "true")}
    if name.startswith("sseCustomer"):
        query["sseCustomerKey"] = S3_KEY
    s3_config(parse_replica_url(f"s3://bucket/path?{urlencode(query)}"), {}, {})


def test_the_sql_functions_named_are_there() -> None:
    named = set(re.findall(r"`(litestream_\w+)\(", readme.read()))
    there = {name for (name,) in apsw.Connection(":memory:").execute("SELECT name FROM pragma_function_list")}
    ours = {name for name in there if name.startswith("litestream_")}
    assert named == ours | {HISTORY_TABLE}


def test_the_commands_shown_are_those_there_are() -> None:
    shown = set(re.findall(r"^    apsw-litestream (\w+)", readme.read(), re.MULTILINE))
    assert shown == set(commands.commands)
    assert not shown & set(LATER_COMMANDS)


def test_the_configuration_shown_is_read_without_a_warning() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", readme.read(), re.DOTALL)
    config = parse_config(text, environ={})
    assert len(config.entries) == 2
    assert config.warnings == ()


@pytest.mark.parametrize("name", ["addr", "socket", "mcp-addr"])
def test_a_setting_that_is_not_built_yet_is_told_of(name: str) -> None:
    assert f"`{name}`" in readme.read()
    (warning,) = parse_config(f"{name}: {'{enabled: true}' if name == 'socket' else 'true'}", environ={}).warnings
    assert "not supported yet" in warning


def test_what_the_readme_points_at_is_there() -> None:
    text = readme.read()
    linked = {target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target}
    mapped = set(re.findall(r"`((?:litestream|vfs|replication|tests)/[\w./]*)`", text))
    made = set(re.findall(r"`(?:PYTHON=\S+ )?make (\w+)`|^    make (\w+)", text, re.MULTILINE))
    targets = {name for pair in made for name in pair if name}
    assert mapped
    assert targets
    for target in linked | mapped:
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert f"\n{target}:" in makefile, target
