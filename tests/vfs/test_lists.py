"""Following costs one listing in 30 seconds, however often somebody writes, and notices what names do not tell.

Method: minutes of polls, one a second, by a clock of the test's; a primary that compacts and deletes at its instants;
every call counted. The client tells of one level at a time, so that a look at all levels would count ten times. Bugs
planted to see it fail: more is listed where a level shows only files that nobody has seen, or is ahead of a name; a
listing at each pause, or at none; the newest file taken for there, unseen; a level that leads further than names do, or
has other content, passed over; what a level shows not remembered.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from itertools import pairwise

import pytest

from replication.client.memory import MemoryReplicaClient
from replication.ltx.header import HEADER_SIZE, Header
from tests.support.faulty_client import FaultyClient
from tests.support.ltx_files import make_file
from tests.support.primary import FIRST, Image, Primary, StepClock
from tests.support.reading import NEVER_S, assert_same
from vfs.follow import PAUSE_MISSES
from vfs.names import LOGGER
from vfs.replica import SharedReplica
from vfs.schedule import LIST_INTERVAL_S, POLLS_PER_TURN, Cause
from vfs.uri import Options

INTERVAL_S = 1.0
MINUTES = 11  # more than from one turn of level 1 to the next
LEVEL_1_S, LEVEL_2_S, SNAPSHOT_S = 30, 300, 240
FEW, MANY = 2, 300  # files of level 0 that are kept
TO_LEVEL_1 = int(POLLS_PER_TURN * LIST_INTERVAL_S / INTERVAL_S)  # polls to the first listing of level 1, from opening


@dataclass
class Following:
    """A replica that only the test polls, each time a second after the last, and what the polls cost."""

    shared: SharedReplica
    client: FaultyClient
    clock: StepClock
    listed_s: list[float] = field(default_factory=list)  # when, once for each level listed

    def poll(self) -> None:
        before = self.client.count("ltx_files")
        self.shared.poll(self.shared.waiter(), Cause.DUE)
        self.listed_s += [self.clock.elapsed] * (self.client.count("ltx_files") - before)

    def wait(self, polls: int) -> None:
        """Poll while nobody writes."""
        for _ in range(polls):
            self.clock.advance(INTERVAL_S)
            self.poll()

    def image(self) -> Image:
        view, waiter = self.shared.view, self.shared.waiter()
        pages = (self.shared.read(view, pgno, waiter) for pgno in range(1, view.commit + 1))
        return Image(view.page_size, b"".join(pages))


@pytest.fixture
def client() -> FaultyClient:
    return FaultyClient(MemoryReplicaClient())


@pytest.fixture
def primary(client: FaultyClient) -> Iterator[Primary]:
    with Primary(client.inner) as primary:
        primary.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
        primary.commit("INSERT INTO item VALUES (1, NULL), (2, noise(2, 2000))")
        primary.snapshot()
        change(primary)
        yield primary


def change(primary: Primary) -> None:
    primary.commit(f"UPDATE item SET body = noise({primary.txid}, 300) WHERE id = 1")


@pytest.fixture
def following(primary: Primary, client: FaultyClient) -> Iterator[Following]:
    """Opened before there is a level but 0 and that of the snapshots."""
    shared = SharedReplica(client, Options(poll_interval_s=NEVER_S), LOGGER, primary.clock)
    shared.start(shared.waiter())
    shared._follower.poll_interval_s = INTERVAL_S
    client.clear_calls()
    yield Following(shared, client, primary.clock)
    shared.close()


@pytest.mark.parametrize("kept", [FEW, MANY])
@pytest.mark.parametrize("commit_s", [1, 2, 7, None])
def test_minutes_of_following_list_one_level_in_30_seconds(
    primary: Primary, following: Following, commit_s: int | None, kept: int
) -> None:
    clock, begin_s = primary.clock, primary.clock.elapsed
    polls = late = 0
    for second in range(1, 60 * MINUTES + 1):
        if commit_s is not None and second % commit_s == 0:
            change(primary)  # which takes a second
        else:
            clock.advance(INTERVAL_S)
        if second % SNAPSHOT_S == 0:
            primary.snapshot()
        if second % LEVEL_1_S == 0:
            primary.compact(1)
        if second % LEVEL_2_S == 0:
            primary.compact(2)
        if second % LEVEL_1_S == 0:
            primary.retain(level_0_kept=kept)
        following.poll()
        polls += 1
        late = late + 1 if following.shared.view.txid < primary.txid else 0
        assert late <= 1, "only a poll that lists another level may leave out a name"
    gaps_s = [later - earlier for earlier, later in pairwise([begin_s, *following.listed_s])]
    assert LIST_INTERVAL_S <= min(gaps_s) <= max(gaps_s) <= LIST_INTERVAL_S + 2 * INTERVAL_S
    if commit_s is None:
        assert following.client.count("read_ltx") <= polls
    following.wait(2)
    assert following.shared.view.history == 0
    assert_same(following.image(), primary.image)


def test_a_pause_costs_a_look_at_the_newest_file_and_no_listing(primary: Primary, following: Following) -> None:
    change(primary)
    following.poll()
    assert following.shared.view.txid == primary.txid
    following.client.clear_calls()
    following.wait(3 * PAUSE_MISSES)
    looks = [call for call in following.client.calls if call.method == "read_ltx" and call.min_txid == primary.txid]
    assert [(call.start, call.end) for call in looks] == [(0, HEADER_SIZE)]
    assert following.listed_s == []


def test_a_pause_whose_file_has_gone_is_looked_into_at_level_0_whichever_turn_it_is(
    primary: Primary, following: Following
) -> None:
    for _ in range(POLLS_PER_TURN):  # one of them is the turn of another level
        change(primary)
        following.poll()
        for _ in range(3):
            change(primary)
        primary.compact(1)
        primary.delete(0, keep=[])
        following.wait(PAUSE_MISSES)
        assert following.shared.view.txid == primary.txid
        assert_same(following.image(), primary.image)
        change(primary)
        following.poll()  # by a listing, since the file before is gone
        assert following.shared.view.txid == primary.txid


def test_a_level_that_leads_on_where_no_name_does_is_followed_at_its_turn(
    primary: Primary, following: Following
) -> None:
    following.wait(TO_LEVEL_1 - 1)
    newest = list(following.client.inner.ltx_files(0))[-1]
    change(primary)
    change(primary)
    primary.compact(1)
    primary.delete(0, keep=[newest])
    following.poll()
    assert following.shared.view.txid == primary.txid
    assert_same(following.image(), primary.image)


def test_what_a_level_showed_beside_the_newest_file_proves_history_when_that_has_gone(
    primary: Primary, following: Following
) -> None:
    following.wait(TO_LEVEL_1 - 1)
    primary.compact(1)
    following.wait(1)
    change(primary)
    primary.compact(1)
    primary.delete(0, 9)
    following.wait(int(LIST_INTERVAL_S / INTERVAL_S))
    assert (following.shared.view.history, following.shared.view.txid) == (0, primary.txid)
    assert_same(following.image(), primary.image)


def test_another_history_that_ends_with_the_same_name_is_noticed_at_the_turn_of_a_level(
    primary: Primary, following: Following
) -> None:
    following.wait(TO_LEVEL_1 - 1)
    following.client.inner.delete_all()
    with Primary(following.client.inner, clock=StepClock(FIRST + timedelta(hours=1))) as other:
        other.commit("CREATE TABLE other (id INTEGER PRIMARY KEY, body)")
        while other.txid < primary.txid:
            other.commit(f"INSERT INTO other (body) VALUES (noise({other.txid}, 900))")
        other.snapshot()
        other.compact(1)
        following.wait(1)
        assert following.shared.view.history == 1
        assert_same(following.image(), other.image)


@pytest.mark.parametrize("begun_s", range(5, 300, 13))
def test_a_history_that_started_over_is_noticed_by_the_next_listing_whichever_level_it_is_of(
    primary: Primary, following: Following, begun_s: int
) -> None:
    for _ in range(5):
        change(primary)
    primary.snapshot()
    following.wait(begun_s)
    following.client.inner.delete_all()
    with Primary(following.client.inner, clock=StepClock(FIRST + timedelta(hours=1))) as other:
        other.commit("CREATE TABLE other (id INTEGER PRIMARY KEY, body)")
        other.snapshot()
        following.wait(int(LIST_INTERVAL_S + 2 * INTERVAL_S))
        assert following.shared.view.history == 1
        assert_same(following.image(), other.image)


def test_a_known_file_with_other_content_is_no_less_noticed_because_names_lead_on(
    primary: Primary, client: FaultyClient
) -> None:
    for _ in range(3):
        change(primary)
    known = primary.compact(1)
    assert known is not None
    primary.delete(0, keep=[])
    change(primary)
    shared = SharedReplica(client, Options(poll_interval_s=NEVER_S), LOGGER, primary.clock)
    shared.start(shared.waiter())
    shared._follower.poll_interval_s = INTERVAL_S
    following = Following(shared, client, primary.clock)
    assert shared.table.get(known) is not None
    following.wait(TO_LEVEL_1 - 1)
    change(primary)
    header = Header.unpack(client.inner.read_ltx(known, 0, HEADER_SIZE))
    image = primary.images[known.max_txid]
    pages = {pgno: image.page(pgno) for pgno in range(1, image.commit + 1)}
    other = make_file(replace(header, timestamp_ms=header.timestamp_ms + 1), pages)
    client.inner.write_ltx_file(1, known.min_txid, known.max_txid, BytesIO(other))
    primary.compact(1)
    following.poll()
    assert (shared.view.history, shared.view.txid) == (1, primary.txid)
    shared.close()
