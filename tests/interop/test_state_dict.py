"""Weights in files that PyTorch wrote, and what is refused."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.interop import read_checkpoint, state_dict

torch = pytest.importorskip("torch")


@pytest.fixture(params=[True, False], ids=["zip", "before_1_6"])
def save(request, tmp_path):
    def save(saved):
        path = tmp_path / "weights.pth"
        torch.save(saved, path, _use_new_zipfile_serialization=request.param)
        return path

    return save


def weights():
    base = torch.arange(24.0)
    return {
        "conv": base[:12].reshape(2, 2, 3),
        "turned": base[:12].reshape(2, 2, 3).permute(2, 1, 0),
        "tail": base[20::2],
        "count": torch.nn.Parameter(torch.tensor(7.0)),
        "half": torch.tensor([1.5, -2]).half(),
        "number": torch.tensor(3),
        "mask": torch.tensor([True, False]),
        "none": torch.zeros(0, 3, dtype=torch.float64),
    }


def test_tensors_come_back_with_their_values_types_and_axes(save):
    module = torch.nn.Module()
    for name, tensor in weights().items():
        module.register_buffer(f"w_{name}", tensor)
    state = module.state_dict()  # an ordered dict, with an attribute
    found = read_checkpoint(save(state))
    assert list(found) == list(state)
    for name, expected in state.items():
        assert found[name].dtype == expected.detach().numpy().dtype
        np.testing.assert_array_equal(found[name], expected.detach().numpy())


def test_state_dicts_are_read_and_everything_else_left_out(save):
    w = torch.tensor([7])
    optimizer = {"state": {0: {"step": 3, "exp_avg": w}}, "lr": 0.1}
    saved = {"opt": optimizer, "empty": {}, "net": {"w": w}, "cond": {"w": w}, "epoch": 3}
    found = read_checkpoint(save(saved))
    assert list(found) == ["net.w", "cond.w"]
    assert found["cond.w"] == 7


class Call:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def test_nothing_but_tensors_is_ever_called(save, tmp_path):
    trace = tmp_path / "trace"
    for call in (
        Call(os.system, f"touch {trace}"),
        Call(getattr, "x", "y"),
        Call(open, str(trace)),
    ):
        with pytest.raises(UsageError, match="refused, since its pickle names .*: save module.st"):
            read_checkpoint(save({"w": call}))
    assert not trace.exists()


def test_a_file_cannot_change_what_reads_the_next(save, tmp_path):
    """A pickle may set attributes of what it names, the defaults of a function for one."""
    state = pickle.dumps((None, {"__defaults__": (1, 2, 3, 4)}), 2)[2:-1]
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        code = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b0}."
        archive.writestr("archive/data.pkl", code)
    with pytest.raises(UsageError, match="holds no state dict"):
        read_checkpoint(tmp_path / "bad.pth")
    assert read_checkpoint(save({"w": torch.ones(1)}))["w"] == 1


def test_damage_is_an_error_of_one_line(save):
    path = save(weights())
    content, rng, refused = path.read_bytes(), np.random.RandomState(0), 0
    damaged = [bytearray(content) for _ in range(60)]
    for each in damaged:
        for place in rng.randint(len(content), size=3):
            each[place] = rng.randint(256)
    for each in [*damaged, *(content[:length] for length in range(0, len(content) - 8, 197))]:
        path.write_bytes(each)
        try:
            read_checkpoint(path)
        except UsageError as error:
            assert "weights.pth: " in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > len(damaged) // 2


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((5, 5), (5, 1), 0), ((4,), (1,), 21), ((4,), (1,), -1), ((4,), (-1,), 0), ((4, 2), (1,), 0)],
)
def test_no_tensor_reaches_beyond_its_storage(shape, strides, offset):
    tensor = state_dict._Tensor("0", np.dtype("f4"), offset, shape, strides)
    with pytest.raises((ValueError, TypeError)):
        state_dict._array(tensor, {"0": bytes(4 * 24)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or something else"),
        (pickle.dumps({"w": 1}), "not a file of PyTorch"),
        (None, r"weights.pth: can't be read \(No such file"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_checkpoint(tmp_path / "weights.pth")


@pytest.mark.parametrize("saved", [[1], {"lr": 0.1}])
def test_files_without_weights_are_refused(save, saved):
    with pytest.raises(UsageError, match="holds no state dict, but a .*; save module.state_dict"):
        read_checkpoint(save(saved))
