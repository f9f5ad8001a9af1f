"""read_idx: round trips, and one readable error for every kind of damage."""

import gzip
import os
import struct
import tracemalloc

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
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)


def check_error(path, *words):
    with pytest.raises(UsageError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message
    return message


@shared_folder
@hypothesis.given(array=ARRAYS, compressed=st.booleans())
def test_round_trip(tmp_path, array, compressed):
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array))
    result = read_idx(path)
    assert result.dtype == array.dtype and result.dtype.isnative
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("name", ["plain.gz", "no-suffix"])
@pytest.mark.parametrize("compressed", [False, True])
def test_gzip_is_told_by_its_bytes_not_its_name(tmp_path, name, compressed):
    path = tmp_path / name
    path.write_bytes(gzip.compress(GOOD) if compressed else GOOD)
    np.testing.assert_array_equal(read_idx(str(path)), IMAGES)


def test_more_than_one_chunk(tmp_path):
    array = np.random.RandomState(0).randint(0, 256, (3, 1000, 1000)).astype(np.uint8)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(idx_bytes(array), 1))
    np.testing.assert_array_equal(read_idx(path), array)


def test_missing(tmp_path):
    check_error(tmp_path / "absent", "not a file")
    check_error(tmp_path, "not a file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    path.chmod(0)
    check_error(path, "can't be read")


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", ["empty"]),
        (gzip.compress(b"", mtime=0), ["empty"]),
        (b"\x89PNG\r\n\x1a\n", ["not an IDX file", "89 50 4e 47", "expected 00 00"]),
        (b"\0\0\x08", ["not an IDX file", "00 00 08"]),
        (b"\0\0\x07\x01" + GOOD[4:], ["not an IDX file", "00 00 07 01"]),
        (b"\0\0\x08\x00" + GOOD[4:], ["not an IDX file", "00 00 08 00"]),
        (b"\0\0\x08\xff" + bytes(1020), ["not an IDX file", "00 00 08 ff"]),
        (GOOD[:10], ["truncated", "expected 16 header bytes", "found 10"]),
        (GOOD[:-7], ["truncated", "60 bytes", "53"]),
        (GOOD + b"x", ["trailing bytes", "expected 60 bytes"]),
        (gzip.compress(GOOD[:-7], mtime=0), ["truncated", "expected 60 bytes", "found 53"]),
        (gzip.compress(GOOD + b"x", mtime=0), ["trailing bytes", "expected 60 bytes"]),
        (ZIPPED[:-12], ["truncated gzip"]),
        (ZIPPED[:-4] + b"\1\2\3\4", ["corrupt gzip"]),
        (ZIPPED[:10] + b"\xff" * 40, ["corrupt gzip"]),
        (b"\x1f\x8b", ["truncated gzip"]),
        (b"\0\0\x08\x03" + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1), ["impossible sizes"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_damage(tmp_path, data, words):
    path = tmp_path / "file"
    path.write_bytes(data)
    check_error(path, *words)


@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("sizes", [(2**32 - 1,), (2**31, 2**31, 2**31), (2**32 - 1,) * 32])
def test_absurd_sizes_allocate_nothing(tmp_path, compress, sizes):
    path = tmp_path / "file"
    header = struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes)
    path.write_bytes(compress(header + bytes(100)))
    tracemalloc.start()
    try:
        check_error(path, "truncated", "header announces")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_gzip_bomb_is_not_decompressed(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(GOOD + bytes(64 << 20), 1))
    tracemalloc.start()
    try:
        check_error(path, "trailing bytes")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@shared_folder
@hypothesis.given(data=st.binary(max_size=80) | st.binary(max_size=60).map(b"\0\0\x08".__add__))
def test_random_bytes_raise_only_usage_errors(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    try:
        result = read_idx(path)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert idx_bytes(result) == data


@shared_folder
@hypothesis.given(
    compressed=st.booleans(), flips=st.lists(st.integers(0, 10_000), min_size=1, max_size=4)
)
def test_flipped_bits_raise_only_usage_errors(tmp_path, compressed, flips):
    data = bytearray(ZIPPED if compressed else GOOD)
    for flip in flips:
        data[flip // 8 % len(data)] ^= 1 << flip % 8
    path = tmp_path / "file"
    path.write_bytes(data)
    try:
        read_idx(path)
    except UsageError as error:
        assert "\n" not in str(error)
