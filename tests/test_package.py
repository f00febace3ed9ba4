"""Goal: what is published works by itself.

Method: build the source distribution, and the wheel from it; install the wheel and nothing else into an empty virtual
environment, and run the README's first example there.
"""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support import readme

ROOT = Path(__file__).parents[1]
BUILD_TIMEOUT_S = 120
INSTALL_TIMEOUT_S = 240

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT_S + INSTALL_TIMEOUT_S)


def run(*command: str | Path, timeout_s: float, cwd: Path) -> str:
    """Return what a command prints; it must end well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s, cwd=cwd)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the source distribution, and with the wheel that was built from it."""
    directory = tmp_path_factory.mktemp("dist")
    run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT,
        timeout_s=BUILD_TIMEOUT_S, cwd=directory,
    )  # fmt: skip
    return directory


def only(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def test_the_wheel_holds_the_three_packages_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(only(built, "*.whl")) as wheel:
        names = wheel.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"litestream", "vfs", "replication"}
    for package in ("litestream", "vfs", "replication"):
        sources = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py*") if path.suffix != ".pyc"}
        assert sources <= set(names)
        assert f"{package}/py.typed" in names


def test_the_source_distribution_holds_tests_examples_and_the_licence(built: Path) -> None:
    with tarfile.open(only(built, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "Makefile",
        "pyproject.toml",
        "examples/demo.py",
        "docs/go-api.md",
    }
    assert expected | {"tests/test_package.py", "benchmarks/README.md"} <= names


def test_the_wheel_runs_the_first_example_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", only(built, "*.whl"), timeout_s=INSTALL_TIMEOUT_S, cwd=tmp_path)
    first = readme.examples(tmp_path / "replica")[0]
    assert run(python, "-I", "-W", "error", "-c", first.code, timeout_s=60, cwd=tmp_path) == first.output
    help_text = run(environment / "bin" / "apsw-litestream", "--help", timeout_s=60, cwd=tmp_path)
    assert "query" in help_text
