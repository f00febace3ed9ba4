"""Goal: docs/stores.md is true. Method: hold its tables, policies, URLs and prices to what the code knows.

Bugs that these tests have caught when they were planted: an option without a row, a row without an option, a price of
another rate, a scheme that is not registered, a word of a policy that the errors do not use.
"""

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import litestream
from litestream import config_replica
from replication.client import azure_config, gcs_config, nats_config, oss_config, s3_config, sftp_config, web_config
from replication.client.object_traits import Permissions
from replication.client.oss_traits import OSS_TRAITS
from replication.client.s3_traits import S3_TRAITS
from replication.client.values import SettingNames, spellings
from tests.client import test_nats_access
from vfs.rest import MAX_FACTOR
from vfs.schedule import LIST_INTERVAL_S
from vfs.uri import Options

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "stores.md").read_text()
PARTS = [
    "URL and layout",
    "Options",
    "Credentials",
    "Least privileges",
    "What it can do",
    "Requests and price",
    "Tested against",
]
GET_PRICE, LIST_PRICE, PUT_PRICE = 0.0004 / 1000, 0.005 / 1000, 0.005 / 1000  # dollars
MONTH_S = 30 * 24 * 3600
_NAME = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Store:
    """What the code knows of the store that a section is about."""

    section: str
    schemes: tuple[str, ...]
    names: SettingNames
    type: str = ""  # in litestream.yml; empty: not there
    library: str = ""  # of an extra


STORES = [
    Store("Files", ("file",), SettingNames("a file replica", (), ("timeout_s",)), "file"),
    Store("S3 and its like", ("s3",), s3_config.SETTINGS, "s3"),
    Store("Google Cloud Storage", ("gs",), gcs_config.SETTINGS, "gs", "google.auth"),
    Store("Azure Blob Storage", ("abs",), azure_config.SETTINGS, "abs"),
    Store("Alibaba Cloud OSS", ("oss",), oss_config.SETTINGS, "oss"),
    Store("NATS", ("nats",), nats_config.SETTINGS, "nats", "nats"),
    Store("SFTP", ("sftp",), sftp_config.SETTINGS, "sftp", "asyncssh"),
    Store("WebDAV", ("webdav", "webdavs"), web_config.WEBDAV_SETTINGS, "webdav"),
    Store("HTTP, only read", ("http", "https"), web_config.HTTP_SETTINGS),
]
BY_SECTION = pytest.mark.parametrize("store", STORES, ids=lambda store: store.section)


def section(heading: str) -> str:
    """Return the text under a heading of the second level."""
    found = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert found, heading
    return found


def rows(text: str, column: str) -> list[list[str]]:
    """Return the cells of the table whose first column is called so."""
    found: list[list[str]] = []
    for line in text.partition(f"| {column} |")[2].splitlines()[2:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    assert found, column
    return found


def urls(store: Store) -> list[str]:
    """Return the example URLs of a section."""
    return [
        line for block in re.findall(r"```text\n(.*?)```", section(store.section), re.DOTALL) for line in block.split()
    ]


def test_every_scheme_has_a_section_and_a_row() -> None:
    # In a process of its own, because tests of other modules add schemes.
    code = "from replication.client import url; print(*url._factories)"
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert {scheme for store in STORES for scheme in store.schemes} == set(known.split())
    shown = [
        (re.sub(r"\[(.*)\].*", r"\1", name), tuple(_NAME.findall(schemes))) for name, schemes, *_ in rows(TEXT, "store")
    ]
    assert shown == [(store.section, tuple(f"{scheme}://" for scheme in store.schemes)) for store in STORES]


@BY_SECTION
def test_every_section_has_the_same_parts(store: Store) -> None:
    assert re.findall(r"^### (.*)$", section(store.section), re.MULTILINE) == PARTS
    assert "Not tested" in section(store.section).rpartition("### Tested against")[2]


def test_what_the_document_links_to_is_there() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    }
    targets = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert targets
    assert set(targets) <= headings


@BY_SECTION
def test_the_table_of_options_lists_what_the_code_knows(store: Store) -> None:
    shown = rows(section(store.section), "URL parameter")
    known = (*store.names.url, *store.names.option_only)
    assert sorted(cells[1] for cells in shown) == sorted(f"`{name}`" for name in known)
    for parameter, option, *_ in shown:
        name = option.strip("`")
        allowed = {f"`{spelling}`" for spelling in spellings(name)} if name in store.names.url else {""}
        assert parameter in allowed, option


@BY_SECTION
def test_the_table_of_options_lists_what_the_configuration_file_knows(store: Store) -> None:
    shown = {
        key.strip("`"): option.strip("`") for _, option, key, *_ in rows(section(store.section), "URL parameter") if key
    }
    known = config_replica._READERS.get(store.type, {})
    assert shown == {key: config_replica._OPTION_NAMES.get(key, key.replace("-", "_")) for key in known}
    assert (store.type in config_replica._BY_TYPE) == bool(store.type)
    if store.type:
        assert f"`type: {store.type}`" in section(store.section)


@BY_SECTION
def test_the_environment_variables_named_are_read(store: Store) -> None:
    code = "".join(path.read_text() for path in (ROOT / "replication" / "client").glob("*.py"))
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`", section(store.section)))
    others = {"GOOGLE_APPLICATION_CREDENTIALS", "STANDARD_IA"}  # google-auth's; no variable
    others |= {"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"}  # obstore's
    assert [name for name in sorted(named - others) if f'"{name}"' not in code] == []


@BY_SECTION
def test_the_urls_shown_are_accepted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = urls(store)
    assert {url.partition("://")[0] for url in shown} == set(store.schemes)
    if store.library and importlib.util.find_spec(store.library.partition(".")[0]) is None:
        pytest.skip(f"{store.library} is not installed")
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "OSS_", "ALIBABA_", "LITESTREAM_", "GOOGLE_", "STORAGE_")):
            monkeypatch.delenv(name)
    for url in shown:
        client = litestream.replica_client(url)
        assert not re.search("SECRET|a2V5|password|token", repr(client))
        client.close()


@pytest.mark.parametrize("store", STORES[1:5], ids=lambda store: store.section)
def test_a_bucket_without_a_path_is_taken_where_it_may_be_empty(store: Store) -> None:
    may_be_empty, required = (text in section(store.section) for text in ("path may be empty", "A path is required"))
    assert may_be_empty != required
    url = f"{store.schemes[0]}://{'account@' if store.type == 'abs' else ''}bucket"
    options = {"anonymous": True} if store.type == "gs" else {}
    if may_be_empty:
        litestream.replica_client(url, **options).close()
    else:
        with pytest.raises(litestream.UsageError, match="path"):
            litestream.replica_client(url)


def test_the_policies_are_those_that_the_errors_ask_for() -> None:
    reader, writer = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
    asked = S3_TRAITS.permissions
    assert actions(reader) == {asked.read, asked.list}
    assert actions(writer) == {asked.read, asked.list, asked.write, asked.delete}
    for policy in (reader, writer):
        of_list = [one for one in policy["Statement"] if one["Action"] == asked.list]
        assert [one["Resource"] for one in of_list] == ["arn:aws:s3:::bucket"]  # it is the bucket's, not the objects'


def actions(policy: dict[str, list[dict[str, str | list[str]]]]) -> set[str]:
    found: set[str] = set()
    for statement in policy["Statement"]:
        action = statement["Action"]
        found.update([action] if isinstance(action, str) else action)
    return found


def privileges(heading: str) -> str:
    return section(heading).partition("### Least privileges")[2].partition("###")[0]


def test_the_privileges_of_oss_are_those_that_the_errors_ask_for() -> None:
    asked: Permissions = OSS_TRAITS.permissions
    assert set(re.findall(r"`(oss:\w+)`", privileges("Alibaba Cloud OSS"))) == {
        asked.read,
        asked.list,
        asked.write,
        asked.delete,
    }


def test_the_subjects_of_nats_are_those_that_are_tested_to_be_enough() -> None:
    assert re.findall(r"^    (\S+)$", privileges("NATS"), re.MULTILINE) == test_nats_access.WRITER


def price(gets: float, lists: float, puts: float) -> str:
    return f"${(gets * GET_PRICE + lists * LIST_PRICE + puts * PUT_PRICE) * MONTH_S:.2f}"


def test_the_prices_follow_from_the_rates() -> None:
    assert "$0.0004 per 1,000 GET and $0.005 per 1,000 LIST or PUT" in TEXT
    of_s3 = rows(TEXT, "S3 Standard, us-east-1")
    for name, gets, lists, puts, shown in of_s3:
        assert shown == price(float(gets), float(lists), float(puts)), name
    followers = [[name.removeprefix("a reader, "), *others] for name, *others in of_s3 if name.startswith("a reader")]
    for (name, gets, lists, shown), of_store in zip(rows(TEXT, "a process that follows"), followers, strict=True):
        assert [name.partition(":")[0], gets, lists, "0", shown] == of_store


def test_the_rates_are_about_those_of_the_polls() -> None:
    idle, reading, committing = (
        (float(gets), float(lists)) for _, gets, lists, _ in rows(TEXT, "a process that follows")
    )
    interval_s = Options().poll_interval_s
    assert sum(idle) == pytest.approx(1 / (interval_s * MAX_FACTOR), rel=0.1)
    for gets, lists in (reading, committing):
        assert lists == pytest.approx(1 / LIST_INTERVAL_S, abs=0.0005)
        assert gets + lists == pytest.approx(1 / interval_s, rel=0.1)


def test_the_default_timeout_is_that_of_all_stores() -> None:
    assert "the default is 30." in TEXT
    configs = (azure_config, gcs_config, nats_config, s3_config, sftp_config, web_config)
    assert {config.DEFAULT_TIMEOUT_S for config in configs} == {30.0}
    assert "DEFAULT_TIMEOUT_S" in inspect.getsource(oss_config)
