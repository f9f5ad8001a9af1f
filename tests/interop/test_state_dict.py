"""Weights of PyTorch, in files put together here byte by byte."""

import io
import pickle
import struct
import zipfile
from typing import NamedTuple

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.interop import read_checkpoint, read_state_dict

NAMES = {
    "<f4": "Float",
    "<f8": "Double",
    "<f2": "Half",
    "<i8": "Long",
    "|u1": "Byte",
    "|b1": "Bool",
}


class Named(NamedTuple):
    module: str
    name: str


class Call(NamedTuple):
    function: Named
    arguments: tuple


class Persistent(NamedTuple):
    pid: tuple


ORDERED_DICT = Call(Named("collections", "OrderedDict"), ())


def encode(x):
    """The operations of a pickle that leave x on the stack."""
    match x:
        case Named(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return encode(function) + encode(arguments) + b"R"
        case Persistent(pid):
            return encode(pid) + b"Q"
        case tuple():
            return b"(" + b"".join(map(encode, x)) + b"t"
        case dict():
            return b"}(" + b"".join(encode(part) for item in x.items() for part in item) + b"u"
    return pickle.dumps(x, 2)[2:-1]


def pickled(x):
    return b"\x80\x02" + encode(x) + b"."


def tensor(x, storage, number, offset=0):
    """What PyTorch pickles of a tensor that is a view of a storage, `x` of it."""
    kind = Named("torch", f"{NAMES[storage.dtype.str]}Storage")
    strides = tuple(step // x.itemsize for step in x.strides)
    pid = Persistent(("storage", kind, str(number), "cpu", storage.size))
    arguments = (pid, offset, x.shape, strides, False, ORDERED_DICT)
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), arguments)


def zipped(saved, storages=(), compression=zipfile.ZIP_STORED, name="data.pkl"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(f"archive/{name}", saved)
        for number, storage in enumerate(storages):
            archive.writestr(f"archive/data/{number}", storage.tobytes())
    return file.getvalue()


def legacy(saved, storages=()):
    facts = {"protocol_version": 1001, "little_endian": True}
    header = (pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, facts))
    keys = pickle.dumps([str(n) for n in range(len(storages))], 2)
    contents = (struct.pack("<q", storage.size) + storage.tobytes() for storage in storages)
    return b"".join([*header, saved, keys, *contents])


@pytest.fixture(params=[zipped, legacy])
def layout(request):
    return request.param


@pytest.fixture
def read(tmp_path):
    def read(content, key=None):
        (tmp_path / "weights.pth").write_bytes(content)
        return read_state_dict(tmp_path / "weights.pth", key)

    return read


STORAGES = [
    np.arange(24, dtype="<f4"),
    np.array([7], "<i8"),
    np.array([1.5, -2], "<f2"),
    np.array([True, False]),
    np.zeros(0, "<f8"),
]


def weights():
    conv = STORAGES[0][:12].reshape(2, 2, 3)
    return {
        "conv": (tensor(conv, STORAGES[0], 0), conv),
        "turned": (tensor(conv.T, STORAGES[0], 0), conv.T),
        "tail": (tensor(STORAGES[0][20::2], STORAGES[0], 0, 20), STORAGES[0][20::2]),
        "count": (tensor(STORAGES[1].reshape(()), STORAGES[1], 1), np.array(7)),
        "half": (tensor(STORAGES[2], STORAGES[2], 2), STORAGES[2]),
        "mask": (tensor(STORAGES[3], STORAGES[3], 3), STORAGES[3]),
        "none": (tensor(STORAGES[4].reshape(0, 3), STORAGES[4], 4), np.zeros((0, 3))),
    }


def test_tensors_come_back_with_their_values_types_and_axes(read, layout):
    saved = {name: pair[0] for name, pair in weights().items()}
    found = read(layout(pickled(saved), STORAGES))
    assert list(found) == list(saved)
    for name, (_, expected) in weights().items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_parameters_and_the_attributes_of_a_state_dict_are_understood(read, layout):
    call = tensor(STORAGES[1], STORAGES[1], 0)
    parameter = Call(Named("torch._utils", "_rebuild_parameter"), (call, True, ORDERED_DICT))
    # As PyTorch writes it: an ordered dict, its items, then the attribute _metadata.
    items = b"(" + encode("w") + encode(parameter) + b"u"
    attributes = encode({"_metadata": {"version": 1}}) + b"b"
    saved = b"\x80\x02" + encode(ORDERED_DICT) + items + attributes + b"."
    np.testing.assert_array_equal(read(layout(saved, STORAGES[1:2]))["w"], [7])


def test_one_of_several_things_is_asked_for_by_name(read, layout):
    call = tensor(STORAGES[1], STORAGES[1], 0)
    content = layout(pickled({"net": {"w": call}, "epoch": 3}), STORAGES[1:2])
    assert read(content, "net")["w"] == 7
    with pytest.raises(UsageError, match="expected tensors alone, got other things as 'net', 'ep"):
        read(content)
    for key in ("epoch", "nothing"):
        with pytest.raises(UsageError, match=f"no dict '{key}'; it holds 'net', 'epoch'"):
            read(content, key)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch", "load"),
        ("torch", "FloatStorage.from_file"),
        ("torch.storage", "_load_from_bytes"),
        ("numpy", "load"),
    ],
)
def test_nothing_but_tensors_is_ever_called(read, layout, tmp_path, module, name):
    trace = tmp_path / "trace"
    call = Call(Named(module, name), (f"touch {trace}",))
    content = layout(pickled({"w": call}))
    with pytest.raises(UsageError, match=f"refused, since its pickle names '{module}.{name}'"):
        read(content)
    assert not trace.exists()


def test_a_file_cannot_change_what_reads_the_next(read, layout):
    """A pickle may set attributes of what it names, the defaults of a function for one."""
    function = Named("torch._utils", "_rebuild_tensor_v2")
    state = encode((None, {"__defaults__": (1, 2, 3, 4), "__kwdefaults__": {}}))
    hostile = b"\x80\x02" + encode(function) + state + b"b0}."
    assert read(layout(hostile)) == {}
    with pytest.raises(UsageError):
        read(layout(pickled({"w": Call(function, ())})))


@pytest.mark.parametrize("attribute", ["items", "values", "get"])
def test_a_dict_with_attributes_for_methods_is_an_error_of_one_line(read, layout, attribute):
    saved = b"\x80\x02" + encode(ORDERED_DICT) + encode({attribute: 1}) + b"b."
    try:
        assert read(layout(saved)) == {}
    except UsageError as error:
        assert "\n" not in str(error)


def test_any_truncation_is_an_error_of_one_line(read, layout):
    saved = {name: pair[0] for name, pair in weights().items()}
    content = layout(pickled(saved), STORAGES)
    # The last storage is empty: without its length, a legacy file lacks nothing.
    for length in [*range(0, len(content) - 8, 37), len(content) - 9]:
        with pytest.raises(UsageError, match="weights.pth: ") as caught:
            read(content[:length])
        assert "\n" not in str(caught.value)


def test_damage_anywhere_never_escapes_as_another_error(read, layout):
    saved = {name: pair[0] for name, pair in weights().items()}
    content = layout(pickled(saved), STORAGES)
    rng = np.random.RandomState(0)
    failures = 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.randint(len(content), size=3):
            damaged[place] = rng.randint(256)
        try:
            read(bytes(damaged))
        except UsageError as error:
            assert "\n" not in str(error)
            failures += 1
    assert failures > 100


def shape_of(shape, strides, offset=0):
    kind = Named("torch", "FloatStorage")
    pid = Persistent(("storage", kind, "0", "cpu", 24))
    arguments = (pid, offset, shape, strides, False, ORDERED_DICT)
    return {"w": Call(Named("torch._utils", "_rebuild_tensor_v2"), arguments)}


@pytest.mark.parametrize(
    "saved",
    [
        shape_of((5, 5), (5, 1)),
        shape_of((4,), (8,)),
        shape_of((4,), (1,), 21),
        shape_of((4,), (1,), -1),
        shape_of((4,), (-1,)),
        shape_of((-4,), (1,)),
        shape_of((4, 2), (1,)),
    ],
)
def test_no_tensor_reaches_beyond_its_storage(read, layout, saved):
    with pytest.raises(UsageError, match="the file is damaged or something else"):
        read(layout(pickled(saved), STORAGES[:1]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or something else"),
        (b"GIF89a" + bytes(100), "damaged or something else"),
        (pickle.dumps({"w": 1}), "not a file of PyTorch"),
        (zipped(b"", name="word/document.xml"), "a zip archive without PyTorch's data.pkl"),
        (zipped(pickled({}), compression=zipfile.ZIP_DEFLATED), "a compressed archive"),
        (zipped(pickled([1])), "holds a list; expected a dict of tensors by name"),
        (zipped(pickled({"lr": 0.1})), "expected tensors alone, got other things as 'lr'"),
        # A number of a memo's place that would take gigabytes.
        (zipped(b"\x80\x02}r\xff\xff\xff\xf0."), "memo out of range"),
    ],
)
def test_other_files_are_answered_in_one_line(read, content, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere.pth: can't be read \(No such file"):
        read_state_dict(tmp_path / "nowhere.pth")


@pytest.fixture
def read_all(tmp_path):
    def read(content):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        return read_checkpoint(tmp_path / "checkpoint.pt")

    return read


def test_a_checkpoints_state_dicts_are_read_and_its_optimizer_left_out(read_all, layout):
    call = tensor(STORAGES[1], STORAGES[1], 0)
    optimizer = {"state": {0: {"step": 3, "exp_avg": call}}, "lr": 0.1}
    saved = {"opt": optimizer, "opt_f": {}, "net": {"w": call}, "cond": {"w": call}, "epoch": 3}
    found = read_all(layout(pickled(saved), STORAGES[1:2]))
    assert list(found) == ["net.w", "cond.w"]
    assert found["cond.w"] == 7
    found = read_all(layout(pickled({"w": call}), STORAGES[1:2]))
    assert list(found) == ["w"]


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"opt": {"lr": 0.1}, "epoch": 3}, "checkpoint.pt: holds no state dict.*'opt', 'epoch'"),
        ({}, "holds no state dict; it holds nothing"),
        ([1], "holds a list"),
    ],
)
def test_a_file_without_state_dicts_is_answered_in_one_line(read_all, saved, message):
    content = zipped(pickled(saved))
    with pytest.raises(UsageError, match=message):
        read_all(content)


def test_a_checkpoint_of_both_tensors_and_other_things_is_refused(read_all):
    call = tensor(STORAGES[1], STORAGES[1], 0)
    with pytest.raises(UsageError, match="expected tensors alone, got other things as 'epoch'"):
        read_all(zipped(pickled({"w": call, "epoch": 3}), STORAGES[1:2]))
