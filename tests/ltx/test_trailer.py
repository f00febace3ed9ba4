"""Trailers: there and back, and those that do not fit their header refused."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import LTXError
from replication.ltx.checksum import CHECKSUM_FLAG
from replication.ltx.trailer import TRAILER_SIZE, Trailer
from tests.support.ltx_files import make_header

WITHOUT = make_header(8, commit=3)
WITH = replace(WITHOUT, flags=0, pre_apply_checksum=CHECKSUM_FLAG)


@settings(deadline=None)
@given(st.binary(min_size=TRAILER_SIZE, max_size=TRAILER_SIZE))
def test_any_trailer_comes_back(data: bytes) -> None:
    assert Trailer.unpack(data).pack() == data


@pytest.mark.parametrize("size", [0, 8, 15, 17])
def test_a_trailer_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(LTXError):
        Trailer.unpack(bytes(size))


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LTXError):
        Trailer(post_apply_checksum=0, file_checksum=2**64).pack()


def test_a_trailer_must_track_checksums_as_its_header_does() -> None:
    untracked = Trailer(post_apply_checksum=0, file_checksum=CHECKSUM_FLAG)
    tracked = Trailer(post_apply_checksum=CHECKSUM_FLAG, file_checksum=CHECKSUM_FLAG)
    untracked.validate(WITHOUT)
    tracked.validate(WITH)
    for trailer, header in [(untracked, WITH), (tracked, WITHOUT)]:
        with pytest.raises(LTXError, match="post-apply checksum"):
            trailer.validate(header)
    with pytest.raises(LTXError, match="file checksum"):
        Trailer(post_apply_checksum=0, file_checksum=5).validate(WITHOUT)
