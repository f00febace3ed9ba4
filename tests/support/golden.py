"""The golden files: LTX files that the real Litestream program wrote, see golden/README.md."""

from pathlib import Path

from hypothesis import strategies as st

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(GOLDEN.rglob("*.ltx"))
NAMES = [str(path.relative_to(GOLDEN)) for path in FILES]

assert FILES, "the golden files are not there"


def golden(directory: str, level: int, min_txid: int, max_txid: int) -> bytes:
    return (GOLDEN / directory / str(level) / f"{min_txid:016x}-{max_txid:016x}.ltx").read_bytes()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A golden file with a few bytes changed, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(FILES)).read_bytes())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.integers(0, 12)), len(data))
        match draw(st.sampled_from(["change", "cut", "double", "insert", "truncate"])):
            case "change":
                data[start:end] = draw(st.binary(min_size=end - start, max_size=end - start))
            case "cut":
                del data[start:end]
            case "double":
                data[start:start] = data[start:end]
            case "insert":
                data[start:start] = draw(st.binary(max_size=12))
            case "truncate":
                del data[start:]
    return bytes(data)
