"""Goal: a store that is being closed while its storage fails can be told to give up.

Method: a replica whose directory became a file, and long patience. Bug planted to try this test: nobody listens between
two tries.
"""

import logging
import threading
import time
from pathlib import Path

import pytest

from replication.client.file import FileReplicaClient
from replication.db import DB
from replication.errors import LitestreamError
from replication.replica import Replica
from replication.store import Store
from tests.support.live_db import connect
from tests.support.waiting import wait_until

PATIENCE_S = 600.0
TIMEOUT_S = 20.0


def test_closing_gives_up_when_it_is_told_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    db = DB(tmp_path / "app.db")
    db.replicas = [Replica(db, FileReplicaClient(tmp_path / "backup"), monitor_enabled=False)]
    store = Store([db])
    store.shutdown_sync_timeout_s = store.shutdown_sync_interval_s = PATIENCE_S
    store.shutdown_sync_timeout_s += PATIENCE_S
    store.open()
    db.sync()
    (tmp_path / "backup").write_text("no directory")
    errors: list[LitestreamError] = []

    def close() -> None:
        try:
            store.close()
        except LitestreamError as error:
            errors.append(error)

    thread = threading.Thread(target=close)
    begin = time.monotonic()
    with caplog.at_level(logging.WARNING, "litestream.replication"):
        thread.start()
        wait_until(lambda: "trying again" in caplog.text, "a first try", timeout_s=TIMEOUT_S)
        store.stop_retrying()
        thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    assert time.monotonic() - begin < PATIENCE_S
    assert len(errors) == 1
    application.close()
