"""Weights written without PyTorch."""

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.interop import read_state_dict, write_state_dict

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "every_other": np.arange(10, dtype=np.int32)[::2],
    "count": np.array(7, np.int64),
    "half": np.float16([1.5, -2]),
    "big_endian": np.array([1.0, 2.0], ">f4"),
    "none": np.zeros((0, 3), np.float32),
    "größe": np.ones(1, np.float32),
}


@pytest.fixture
def path(tmp_path):
    write_state_dict(tmp_path / "weights.pt", TENSORS)
    return tmp_path / "weights.pt"


def assert_same(found):
    assert list(found) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype.newbyteorder("=")
        assert found[name].shape == tensor.shape
        np.testing.assert_array_equal(found[name], tensor)


def test_our_own_reader_reads_it(path):
    assert_same(read_state_dict(path))


def test_torch_reads_it_without_unpickling_anything_else(path):
    torch = pytest.importorskip("torch")
    state = torch.load(path, weights_only=True)
    assert_same({name: tensor.numpy() for name, tensor in state.items()})
    assert all(tensor.is_contiguous() for tensor in state.values())
    mapped = torch.load(path, weights_only=True, mmap=True)
    assert_same({name: tensor.numpy() for name, tensor in mapped.items()})


def test_torch_writes_what_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    native = {name: t.astype(t.dtype.newbyteorder("=")) for name, t in TENSORS.items()}
    torch.save({name: torch.tensor(t) for name, t in native.items()}, tmp_path / "theirs.pt")
    assert_same(read_state_dict(tmp_path / "theirs.pt"))


@pytest.mark.parametrize("wrong", [np.array(["a"]), np.array([1j]), np.array([object()])])
def test_other_types_are_refused_and_nothing_written(tmp_path, wrong):
    with pytest.raises(UsageError, match="w: expected one of float64, float32, .*, got "):
        write_state_dict(tmp_path / "weights.pt", {"w": wrong})
    assert not list(tmp_path.iterdir())
