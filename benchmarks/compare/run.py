"""Runs one query in one system, in a process of its own, and splits what it asked of the server into open and query."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.compare.reader import Work
from benchmarks.static_s3 import ENVIRONMENT, Request, StaticS3, total_bytes
from benchmarks.systems import PROJECT
from tests.support.litestream_program import environment
from tests.support.s3_server import sequential_depth

NO_LIMIT_S = 900.0  # for what is run to its end to know what that takes


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was asked of the storage; `round_trips` is the longest chain, each begun after the one before had ended."""

    requests: int
    bytes: int
    round_trips: int

    @classmethod
    def of(cls, requests: Sequence[Request]) -> "Traffic":
        return cls(len(requests), total_bytes(requests), sequential_depth(requests))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process: what opening and the query took. Of an estimate the query did not come to its end."""

    open_s: float
    open: Traffic
    query_s: float
    query: Traffic
    later: Traffic  # what began in the background when the query had been answered
    is_estimate: bool = False
    rows: int = 0
    digest: str = ""
    base_mb: float = 0.0  # before the replica was opened
    peak_mb: float = 0.0  # when the query was answered
    last_peak_mb: float = 0.0  # at the end
    stats: dict[str, Any] = field(default_factory=dict)


def run(server: StaticS3, work: Work, limit_s: float = NO_LIMIT_S) -> Run:
    """Run to the end, or for so many seconds; then the query is an estimate, with what was done until then."""
    server.reset()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compare.reader", work.argument()],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment(), **ENVIRONMENT},
    )
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    killed = time.monotonic()
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines, f"{work.system} did not open the replica within {limit_s:g} s"
    is_estimate = len(lines) == 1
    assert not is_estimate or killed - lines[0]["open"][0] > limit_s / 2, f"{work.system} failed: {work.sql}"
    start, opened = lines[0]["open"]
    begun, ended = (opened, killed) if is_estimate else lines[1]["query"]
    requests = server.settled_requests()
    traffic = [
        Traffic.of([request for request in requests if since <= request.start < until])
        for since, until in ((start, begun), (begun, ended), (ended, math.inf))
    ]
    rest = {} if is_estimate else {name: value for name, value in lines[1].items() if name != "query"}
    return Run(
        open_s=opened - start,
        open=traffic[0],
        query_s=ended - begun,
        query=traffic[1],
        later=traffic[2],
        is_estimate=is_estimate,
        **rest,
    )


def extrapolated(part: Run, whole: Run) -> Run:
    """Return what a run that was ended would have taken, if `whole`, without a delay, says how much it had to do."""
    factor = whole.query.requests / max(part.query.requests, 1)
    return replace(part, query_s=part.query_s * factor, query=whole.query)
