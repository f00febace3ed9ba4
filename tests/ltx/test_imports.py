"""What listings and single pages need must not load numpy: it would be half of the time to start."""

import subprocess
import sys

LIGHT = [
    "replication.ltx.checksum",
    "replication.ltx.file_info",
    "replication.ltx.header",
    "replication.ltx.name",
    "replication.ltx.order",
    "replication.ltx.page",
    "replication.ltx.trailer",
]


def test_the_light_modules_do_not_load_numpy() -> None:
    code = f"import {', '.join(LIGHT)}, sys; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
