"""Goal: importing the library stays cheap. Method: look at what a fresh process has loaded."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import litestream

HEAVY = (
    "numpy",
    "obstore",
    "boto3",
    "botocore",
    "httpx",
    "click",
    "lz4",
    "dateparser",
    "asyncio",
    "yaml",
)

REPORT = """
import json, sys
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.__stdout__)
"""


def loaded_by(code: str) -> set[str]:
    """Return the packages a process has loaded after running some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{REPORT}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_importing_the_library_loads_none_of_the_heavy_packages() -> None:
    assert not loaded_by("import litestream").intersection(HEAVY)


def test_a_plain_connection_after_the_import_loads_none_of_them_either() -> None:
    code = "import apsw, litestream; apsw.Connection(':memory:').execute('SELECT 1').get"
    assert not loaded_by(code).intersection(HEAVY)


def test_the_command_line_shows_its_help_without_what_reading_a_replica_needs() -> None:
    code = "import io, sys; from litestream.cli import main; sys.stdout = io.StringIO(); main(['--help'])"
    assert not loaded_by(code).intersection(set(HEAVY) - {"click"})


def test_the_names_and_their_types_are_the_same() -> None:
    stub = ast.parse(Path(litestream.__file__).with_suffix(".pyi").read_text())
    (names,) = (
        ast.literal_eval(node.value)
        for node in stub.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert sorted(names) == litestream.__all__


def test_a_star_import_takes_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from litestream import *", names)  # noqa: S102
    assert {*names} - {"__builtins__"} == {*litestream.__all__}


def test_the_helpers_of_the_go_package_have_their_counterparts() -> None:
    go = [
        "BoolQueryValue",
        "Checksum",
        "CleanReplicaURLPath",
        "IsBackblazeEndpoint",
        "IsCloudflareR2Endpoint",
        "IsDigitalOceanEndpoint",
        "IsFilebaseEndpoint",
        "IsMinIOEndpoint",
        "IsScalewayEndpoint",
        "IsTigrisEndpoint",
        "IsURL",
        "ParseReplicaURL",
        "RegionFromS3ARN",
        "ReplicaTypeFromURL",
        "WALChecksum",
    ]
    words = re.compile("MinIO|R2|S3|URL|ARN|WAL|[A-Z][a-z]+")
    functions = {"_".join(words.findall(name)).lower() for name in go}
    constants = {
        "WAL_HEADER_SIZE",
        "WAL_FRAME_HEADER_SIZE",
        "WAL_HEADER_CHECKSUM_OFFSET",
        "WAL_FRAME_HEADER_CHECKSUM_OFFSET",
    }
    assert functions | constants | {"WALReader", "WALError", "PrevFrameMismatchError"} <= {*litestream.__all__}


def test_every_name_that_is_promised_can_be_had() -> None:
    code = "import litestream; [getattr(litestream, name) for name in litestream.__all__]"
    assert "litestream" in loaded_by(code)
