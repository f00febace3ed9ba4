"""Goal: importing the library stays cheap. Method: look at what a fresh process has loaded."""

import json
import subprocess
import sys

HEAVY = ("numpy", "obstore", "boto3", "botocore", "httpx", "click", "lz4", "cachetools", "dateparser", "asyncio")

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


def test_every_name_that_is_promised_can_be_had() -> None:
    code = "import litestream; [getattr(litestream, name) for name in litestream.__all__]"
    assert "litestream" in loaded_by(code)
