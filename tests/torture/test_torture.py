"""Goal: a reader is never wrong and never late while the replica it reads changes under it.

Method: the short forms of `tests.support.torture`; the long ones, of 300 s, are run by `make soak`.
"""

import pytest

from tests.support.torture import Torture
from tests.support.torture_report import Minimum

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]


# More polls, and so more views, than at the default of 1 s.
POLL_INTERVAL_S = 0.25


def test_readers_of_a_file_replica_are_never_wrong_and_never_late() -> None:
    run = Torture(seconds=30, store="file", levels="fast", poll_interval_s=POLL_INTERVAL_S, longest_s=3)
    run.run().check(Minimum(transactions=1_000, txids=40, compactions=20, deletions=40), gone_share=run.gone_share)


def test_readers_of_an_s3_replica_are_never_wrong_and_never_late() -> None:
    run = Torture(seconds=12, store="s3", levels="fast", poll_interval_s=POLL_INTERVAL_S)
    run.run().check(Minimum(transactions=200, txids=15, compactions=8, deletions=15), gone_share=run.gone_share)


def test_a_reader_whose_base_is_deleted_reads_on_from_other_files_or_is_told_so_but_is_never_wrong() -> None:
    # Long transactions outlast snapshots. The file client keeps open what it reads, so it would miss none of them.
    run = Torture(seconds=20, store="s3", levels="snapshots", poll_interval_s=POLL_INTERVAL_S, longest_s=8)
    report = run.run()
    report.check(Minimum(transactions=500, txids=20, compactions=15, deletions=30), gone_share=run.gone_share)
    assert report.stats["long"]["repairs"] > 0, "no view had to look for another file"
