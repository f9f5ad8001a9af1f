"""read_idx: round trips, and one readable error for every kind of damage."""

import gzip

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.idx_bytes import TYPES, idx_bytes
from tfp_cinn.data import read_idx
from tfp_cinn.errors import UsageError

ARRAYS = st.sampled_from(sorted(TYPES)).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(max_dims=4, max_side=6, min_side=0))
)
IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
GOOD = idx_bytes(IMAGES)
ZIPPED = gzip.compress(GOOD, mtime=0)

# One file per test is overwritten by every example, so sharing the folder between them is safe.
shared_folder = hypothesis.settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@shared_folder
@hypothesis.given(array=ARRAYS, compressed=st.booleans())
def test_round_trip(tmp_path, array, compressed):
    path = tmp_path / "file"  # gzip is told by its bytes, not by its name
    path.write_bytes(gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array))
    result = read_idx(path)
    assert result.dtype == array.dtype and result.dtype.isnative
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read .No such file"),
        (b"\x89PNG\r\n\x1a\n", "is not an IDX file: it starts with 89 50 4e 47, expected 00 00"),
        (b"\0\0\x08\xff" + bytes(1020), "is not an IDX file.* 1 to 8 dimensions"),
        (GOOD[:-7], "holds 69 bytes, expected 76 as its header says"),
        (gzip.compress(GOOD + b"x", mtime=0), "holds 77 bytes, expected 76"),
        (ZIPPED[:-12], "can't be read .Compressed file ended"),
    ],
)
def test_damage(tmp_path, content, message):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"{path} {message}") as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)


@shared_folder
@hypothesis.given(
    compressed=st.booleans(), flips=st.lists(st.integers(0, 10_000), min_size=1, max_size=4)
)
def test_flipped_bits_raise_only_usage_errors(tmp_path, compressed, flips):
    content = bytearray(ZIPPED if compressed else GOOD)
    for flip in flips:
        content[flip // 8 % len(content)] ^= 1 << flip % 8
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        read_idx(path)
    except UsageError as error:
        assert "\n" not in str(error)
