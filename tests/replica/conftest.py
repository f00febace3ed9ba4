from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_database import LocalStandIn


@pytest.fixture
def db(tmp_path: Path) -> Iterator[LocalStandIn]:
    with LocalStandIn(tmp_path) as db:
        yield db
