"""What says where a WAL stands must not load numpy: it would be half of the time to start."""

import subprocess
import sys

LIGHT = ["replication.wal.checksum", "replication.wal.frame", "replication.wal.header"]


def test_the_light_modules_do_not_load_numpy() -> None:
    code = f"import {', '.join(LIGHT)}, sys; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
