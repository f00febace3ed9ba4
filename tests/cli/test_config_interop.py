"""Goal: no setting of the Go program is unknown to us. Method: read the names from the program itself."""

import re

import pytest

from litestream import config, config_db, config_logging, config_replica
from tests.support import litestream_program as program

_INNER = {"interval", "enabled", "path", "permissions", "level", *config_logging.TYPES, "type", "stderr", "source"}
_AGE = {"identities", "recipients"}


@pytest.mark.interop
def test_every_setting_of_the_program_is_known() -> None:
    tags = set(re.findall(rb'yaml:"([a-z0-9-]+)"', program.find_program().read_bytes()))
    theirs = {tag.decode() for tag in tags} - {"-"}
    replicas = {*config_replica.SETTINGS, *config_replica._OWN}
    assert len(theirs) > 80
    assert theirs <= {*config._KNOWN, *config_db._KNOWN, *replicas, *_INNER, *_AGE}
