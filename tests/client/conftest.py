from collections.abc import Iterator

import pytest

from tests.support.s3_server import S3Server


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_server(s3_process: S3Server) -> Iterator[S3Server]:
    """The server, without log, delay and faults; objects of earlier tests stay, so take a path of your own."""
    s3_process.reset()
    yield s3_process
    s3_process.reset()
