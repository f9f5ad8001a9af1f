"""Weights of PyTorch, in files put together here byte by byte. Needs no PyTorch."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.interop import read_checkpoint

KINDS = {"<f4": "Float", "<f8": "Double", "<f2": "Half", "<i8": "Long", "|b1": "Bool"}
BASE = np.arange(24, dtype="<f4")
STORAGES = [BASE, np.array([7]), np.array([1.5, -2], "<f2"), np.array([True, False]), np.zeros(0)]


class Raw(bytes):
    """The operations of a pickle that leave a value on the stack."""


def encode(x):
    if isinstance(x, Raw):
        return x
    if isinstance(x, tuple):
        return b"(" + b"".join(map(encode, x)) + b"t"
    if isinstance(x, dict):
        return b"}(" + b"".join(encode(part) for item in x.items() for part in item) + b"u"
    return pickle.dumps(x, 2)[2:-1]


def call(name, *arguments):
    module, _, function = name.partition(" ")
    return Raw(f"c{module}\n{function}\n".encode() + encode(arguments) + b"R")


ORDERED_DICT = call("collections OrderedDict")


def tensor(number, shape, strides, offset=0):
    """What PyTorch pickles of a tensor that is a view of a storage."""
    storage = STORAGES[number]
    kind = Raw(f"ctorch\n{KINDS[storage.dtype.str]}Storage\n".encode())
    pid = Raw(encode(("storage", kind, str(number), "cpu", storage.size)) + b"Q")
    return call("torch._utils _rebuild_tensor_v2", pid, offset, shape, strides, False, ORDERED_DICT)


def pickled(x):
    return b"\x80\x02" + encode(x) + b"."


def zipped(saved, name="data.pkl"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"archive/{name}", saved)
        for number, storage in enumerate(STORAGES):
            archive.writestr(f"archive/data/{number}", storage.tobytes())
    return file.getvalue()


def legacy(saved):
    header = (pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    numbers = [n for n in range(len(STORAGES)) if f"X\x01\0\0\0{n}".encode() in saved]
    keys = pickle.dumps([str(n) for n in numbers], 2)
    contents = (struct.pack("<q", STORAGES[n].size) + STORAGES[n].tobytes() for n in numbers)
    return b"".join([*header, saved, keys, *contents])


@pytest.fixture(params=[zipped, legacy])
def layout(request):
    return request.param


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "weights.pth").write_bytes(content)
        return read_checkpoint(tmp_path / "weights.pth")

    return read


PARAMETER = call("torch._utils _rebuild_parameter", tensor(1, (), ()), True, ORDERED_DICT)
WEIGHTS = {
    "conv": (tensor(0, (2, 2, 3), (6, 3, 1)), BASE[:12].reshape(2, 2, 3)),
    "turned": (tensor(0, (3, 2, 2), (1, 3, 6)), BASE[:12].reshape(2, 2, 3).T),
    "tail": (tensor(0, (2,), (2,), 20), BASE[20::2]),
    "count": (PARAMETER, np.array(7)),
    "half": (tensor(2, (2,), (1,)), STORAGES[2]),
    "mask": (tensor(3, (2,), (1,)), STORAGES[3]),
    "none": (tensor(4, (0, 3), (3, 1)), np.zeros((0, 3))),
}
SAVED = {name: saved for name, (saved, _) in WEIGHTS.items()}


def test_tensors_come_back_with_their_values_types_and_axes(read, layout):
    # As PyTorch writes it: an ordered dict, its items, then the attribute _metadata.
    items = b"(" + b"".join(encode(part) for item in SAVED.items() for part in item) + b"u"
    attributes = encode({"_metadata": {"version": 1}}) + b"b"
    found = read(layout(b"\x80\x02" + ORDERED_DICT + items + attributes + b"."))
    assert list(found) == list(WEIGHTS)
    for name, (_, expected) in WEIGHTS.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_state_dicts_are_read_and_everything_else_left_out(read, layout):
    w = tensor(1, (1,), (1,))
    optimizer = {"state": {0: {"step": 3, "exp_avg": w}}, "lr": 0.1}
    saved = {"opt": optimizer, "empty": {}, "net": {"w": w}, "cond": {"w": w}, "epoch": 3}
    found = read(layout(pickled(saved)))
    assert list(found) == ["net.w", "cond.w"]
    assert found["cond.w"] == 7


@pytest.mark.parametrize(
    "name",
    ["os system", "builtins getattr", "torch load"],
)
def test_nothing_but_tensors_is_ever_called(read, layout, tmp_path, name):
    trace = tmp_path / "trace"
    content = layout(pickled({"w": call(name, f"touch {trace}")}))
    with pytest.raises(UsageError, match="refused, since its pickle names .*: save module.state"):
        read(content)
    assert not trace.exists()


def test_a_file_cannot_change_what_reads_the_next(read, layout):
    """A pickle may set attributes of what it names, the defaults of a function for one."""
    state = encode((None, {"__defaults__": (1, 2, 3, 4), "__kwdefaults__": {}}))
    with pytest.raises(UsageError, match="holds no state dict"):
        read(layout(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b0}."))
    with pytest.raises(UsageError, match="missing"):
        read(layout(pickled({"w": call("torch._utils _rebuild_tensor_v2")})))


def test_damage_is_an_error_of_one_line(read, layout):
    content = layout(pickled(SAVED))
    rng = np.random.RandomState(0)
    cut = [content[:length] for length in range(0, len(content) - 8, 97)]
    for damaged in [bytearray(content) for _ in range(100)]:
        for place in rng.randint(len(content), size=3):
            damaged[place] = rng.randint(256)
        cut.append(bytes(damaged))
    refused = 0
    for damaged in cut:
        try:
            read(damaged)
        except UsageError as error:
            assert "weights.pth: " in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > len(cut) // 2


@pytest.mark.parametrize(
    "view",
    [((5, 5), (5, 1)), ((4,), (1,), 21), ((4,), (1,), -1), ((4,), (-1,)), ((4, 2), (1,))],
)
def test_no_tensor_reaches_beyond_its_storage(read, layout, view):
    with pytest.raises(UsageError, match="the file is damaged or something else"):
        read(layout(pickled({"w": tensor(0, *view)})))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or something else"),
        (pickle.dumps({"w": 1}), "not a file of PyTorch"),
        (zipped(b"", name="word/document.xml"), "a zip archive without PyTorch's data.pkl"),
        (zipped(pickled([1])), "holds no state dict, but a list; save"),
        (zipped(pickled({"lr": 0.1})), "holds no state dict, but a dict of 'lr'; save"),
        (None, r"weights.pth: can't be read \(No such file"),
    ],
)
def test_other_files_are_refused(read, tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        read(content) if content is not None else read_checkpoint(tmp_path / "weights.pth")
