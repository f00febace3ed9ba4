"""Read the text of a configuration, and expect it to be refused."""

import pytest

from litestream.config import Config, parse_config
from litestream.config_db import DBConfig
from litestream.config_replica import ReplicaConfig
from replication.errors import UsageError


def parse(text: str, **environ: str) -> Config:
    return parse_config(text, environ=environ)


def only_db(text: str, **environ: str) -> DBConfig:
    (db,) = parse(text, **environ).databases()
    return db


def only_replica(text: str, **environ: str) -> ReplicaConfig:
    (replica,) = only_db(text, **environ).replicas
    return replica


def fail(text: str, **environ: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text, **environ).databases()
    assert "\n" not in str(caught.value)
    return str(caught.value)
