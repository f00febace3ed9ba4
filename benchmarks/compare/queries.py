"""The queries that are compared."""

from dataclasses import dataclass

from benchmarks.compare.database import EVENTS, EVENTS_PER_DEVICE, GROUP, Words

NEARBY_ROWS = 50  # events whose customers are joined
RANGE_ROWS = 2_000
INDEX_ROWS = 300
FREQUENT, RARE = 60, 1_000  # ranks of two words that stand together in some 40 notes


@dataclass(frozen=True, slots=True)
class Query:
    """A statement, and what it is called in tables."""

    name: str
    sql: str
    bindings: tuple[object, ...] = ()


def queries(events: int = EVENTS) -> list[Query]:
    """Return the queries for a database of so many events, the longest last."""
    key = events * 2 // 3
    device = min(GROUP, events) // EVENTS_PER_DEVICE // 2  # in the first group
    words = Words()
    return [
        Query("point by key", "SELECT * FROM event WHERE id = ?", (key,)),
        Query(
            f"join of {NEARBY_ROWS} rows",
            "SELECT event.id, name FROM event JOIN customer ON customer.id = customer WHERE event.id BETWEEN ? AND ?",
            (key, key + NEARBY_ROWS - 1),
        ),
        Query(
            f"index to {EVENTS_PER_DEVICE} rows",
            "SELECT id, body FROM event WHERE device = ?",
            (f"device-{device:06}",),
        ),
        Query(
            f"range of {RANGE_ROWS:,} rows by key",
            "SELECT id, body FROM event WHERE id BETWEEN ? AND ?",
            (key // 2, key // 2 + RANGE_ROWS - 1),
        ),
        Query(
            f"index range to {INDEX_ROWS} rows",
            "SELECT id, body FROM event WHERE number BETWEEN ? AND ?",
            (key, key + INDEX_ROWS - 1),
        ),
        Query(
            "FTS5 match",
            "SELECT rowid, title FROM note WHERE note MATCH ? ORDER BY rank, rowid LIMIT 10",
            (f"{words.word(FREQUENT)} {words.word(RARE)}",),
        ),
        Query("aggregate over an index", "SELECT region, count(*), sum(balance) FROM customer GROUP BY region"),
        Query("full scan", "SELECT count(*), sum(length(body)), sum(customer) FROM event"),
    ]
