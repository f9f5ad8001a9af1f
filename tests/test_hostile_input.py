"""Files of strangers: they work, or they are refused in one line; nothing in them is executed."""

import io
import json
import pathlib
import struct
import tracemalloc
import zipfile
import zlib

import h5py
import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.helpers.synthetic_photos import encode, pixels
from tfp_cinn import CINN, UsageError, data, load_model
from tfp_cinn.bijectors import Chain, GlowCoupling
from tfp_cinn.configs import TrainConfig
from tfp_cinn.data.image_files import MAX_PIXELS, read_image
from tfp_cinn.networks import MLP
from tfp_cinn.training import checkpoints, default_config
from tfp_cinn.training.checkpoints import Moment
from tfp_cinn.workdir import Workdir

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    conditioner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "relu")])
    model = CINN(Chain([GlowCoupling(MLP([4], dropout=0.1))]), (4,), conditioner, (3,))
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def good(model, tmp_path_factory):
    """The bytes of a model file."""
    path = tmp_path_factory.mktemp("models") / "good.keras"
    model.save(path)
    return path.read_bytes()


def parts(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as z:
        return {info.filename: z.read(info) for info in z.infolist()}


def archive_of(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return stream.getvalue()


def works_or_is_refused(use, *expected):
    """Calls; returns what was said, None if it worked."""
    try:
        result = use()
    except UsageError as error:
        assert str(error) and "\n" not in str(error)
        return str(error)
    assert isinstance(result, expected)
    return None


def refused(tmp_path, content, message):
    path = tmp_path / "bad.keras"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def with_conditioner(good, described):
    members = parts(good)
    config = json.loads(members["config.json"])
    config["config"]["conditioner"] = described
    return archive_of(members | {"config.json": json.dumps(config)})


def layer(module, name, registered=None, **config):
    return {
        "module": module, "class_name": name, "config": config, "registered_name": registered,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (layer("os", "system", command="touch owned"), "Could not locate class 'system'"),
        (layer("keras.utils", "get_file", origin="http://localhost/"), "not a modeling function"),
        (layer("keras.layers", "Lambda", function="x"), "unsupported callable"),
        (layer("keras.layers", "TFSMLayer", filepath="x"), "arbitrary|safe_mode"),
        (layer("keras.layers", "StringLookup", vocabulary="/etc/passwd"), "[Vv]ocabulary"),
        (layer("tfp_cinn.networks.mlp", "MLP", "tfp_cinn>Nothing"), "Could not locate class 'MLP'"),
        ({"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}, "arbitrary code"),
        ({"class_name": ["os"], "config": {}}, "unhashable"),
        (
            {"class_name": "function", "config": "system", "module": "os"},
            "locate function",
        ),
    ],
)
def test_a_config_that_names_what_is_no_part_of_a_model_is_refused(
    good, tmp_path, monkeypatch, described, message
):
    monkeypatch.chdir(tmp_path)
    refused(tmp_path, with_conditioner(good, described), message)
    # Wherever it stands, also where only compiling would reach it.
    members = parts(good)
    config = json.loads(members["config.json"])
    config["compile_config"] = {"optimizer": {"a": [1, described]}}
    refused(tmp_path, archive_of(members | {"config.json": json.dumps(config)}), message)
    assert not pathlib.Path("owned").exists()


def test_archives_that_are_no_model_are_refused(good, tmp_path):
    members = parts(good)
    bomb = members | {"model.weights.h5": bytes(1 << 24)}
    refused(tmp_path, archive_of(bomb, zipfile.ZIP_DEFLATED), "is compressed")
    for config in (b"[" * 100_000, b"{}", b"{"):
        refused(tmp_path, archive_of(members | {"config.json": config}), "can't be loaded")
    refused(tmp_path, archive_of({"config.json": members["config.json"]}), "can't be loaded")


@pytest.mark.parametrize("trick", ["external link", "soft link", "external", "virtual", "shape"])
def test_weights_that_are_not_in_the_file_are_refused(good, tmp_path, trick):
    stream = io.BytesIO(parts(good)["model.weights.h5"])
    with h5py.File(stream, "r+") as weights:
        group = weights["conditioner/layers/dense/vars"]
        del group["0"]
        if trick == "external link":
            group["0"] = h5py.ExternalLink("/etc/passwd", "/")
        elif trick == "soft link":
            group["0"] = h5py.SoftLink("/conditioner/layers/dense/vars/1")
        elif trick == "external":
            group.create_dataset("0", (3, 2), "f4", external=[("/etc/passwd", 0, 24)])
        elif trick == "virtual":
            layout = h5py.VirtualLayout((3, 2), "f4")
            layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 2))
            group.create_virtual_dataset("0", layout)
        else:
            group.create_dataset("0", (1 << 20, 1 << 12), "f4", chunks=(1024, 1024), fillvalue=1.0)
    content = archive_of(parts(good) | {"model.weights.h5": stream.getvalue()})
    refused(tmp_path, content, "can't be loaded as a model: ")


def mutated(content, draw):
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
        if how == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del content[at:]
        elif how == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            del content[at : at + draw(st.integers(1, 8))]
    return bytes(content)


@hypothesis.settings(max_examples=60)
@hypothesis.given(draw=st.data())
def test_mutated_model_files_work_or_are_refused(good, tmp_path_factory, draw):
    path = tmp_path_factory.getbasetemp() / "mutated.keras"
    path.write_bytes(mutated(good, draw.draw))
    works_or_is_refused(lambda: load_model(path), CINN)


@hypothesis.settings(max_examples=25)
@hypothesis.given(draw=st.data())
def test_model_files_of_another_config_work_or_are_refused(good, tmp_path_factory, draw):
    members = parts(good)
    config = json.loads(members["config.json"])
    places = []

    def walk(item):
        for key in item if isinstance(item, dict) else range(len(item)):
            places.append((item, key))
            if isinstance(item[key], (dict, list)):
                walk(item[key])

    walk(config)
    item, key = draw.draw(st.sampled_from(places))
    # Sizes are bounded: a config may ask for as much memory as it likes.
    item[key] = draw.draw(st.integers(-3, 64) | st.text(max_size=5) | JSON.filter(_is_small))
    path = tmp_path_factory.getbasetemp() / "other.keras"
    path.write_bytes(archive_of(members | {"config.json": json.dumps(config)}))
    works_or_is_refused(lambda: load_model(path), CINN)


def _is_small(value):
    if isinstance(value, (list, dict)):
        return all(map(_is_small, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, (int, float)) or abs(value) < 1000


@hypothesis.settings(max_examples=100)
@hypothesis.given(draw=st.data(), sealed=st.booleans())
def test_mutated_checkpoints_are_restored_or_refused(model, tmp_path_factory, draw, sealed):
    workdir = Workdir(tmp_path_factory.getbasetemp() / "mutated")
    workdir.path.mkdir(exist_ok=True)
    path = checkpoints.save(model, workdir, Moment(3, 1, 1), keep=1)
    before = [v.numpy() for v in model.variables]
    if sealed:  # what has a right CRC
        members = parts(path.read_bytes())
        name = draw.draw(st.sampled_from(sorted(members)))
        path.write_bytes(archive_of(members | {name: mutated(members[name], draw.draw)}))
    else:
        path.write_bytes(mutated(path.read_bytes(), draw.draw))
    said = works_or_is_refused(lambda: checkpoints.restore(model, workdir), tuple)
    if said:
        assert "no checkpoint can be loaded" in said and path.name in said
        for variable, value in zip(model.variables, before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)


def test_a_checkpoint_that_declares_more_than_it_holds_takes_no_memory(model, tmp_path):
    path = checkpoints.save(model, Workdir(tmp_path), Moment(), keep=1)
    members = parts(path.read_bytes())
    name = "model/00000.npy"
    for shape in ((1 << 40,), (3, 2)):
        header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(1 << 24)
        path.write_bytes(archive_of(members | {name: content}, zipfile.ZIP_DEFLATED))
        tracemalloc.start()
        with pytest.raises(UsageError, match="no checkpoint can be loaded"):
            checkpoints.restore(model, Workdir(tmp_path))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 23  # half of what the part inflates to


TRAIN = default_config().train.to_dict()


@hypothesis.settings(max_examples=300)
@hypothesis.given(
    st.dictionaries(
        st.sampled_from(sorted(TRAIN)),
        JSON | st.integers(-2, 100) | st.floats(0, 1) | st.lists(st.integers(0, 9), max_size=3),
        min_size=1,
        max_size=3,
    ),
)
def test_the_fields_of_training_are_right_or_refused(changes):
    section = TRAIN | changes

    def check():
        config = TrainConfig.of(section)
        rates = [config.rate(epoch) for epoch in (0, 1, config.epochs)]
        assert all(0 <= rate < np.inf for rate in rates)
        return rates

    works_or_is_refused(check, list)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff", b"null", b'{"a":'])
def test_a_workdir_whose_config_is_no_config_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UsageError, match="config.json") as caught:
        Workdir(tmp_path).config()
    assert "\n" not in str(caught.value)


def png_of(width, height):
    """A PNG file that declares a size, and holds one row."""

    def chunk(kind, content):
        seal = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + seal

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(3 * width + 1))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def bombs():
    jpeg = bytearray(encode(pixels(16, 16), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65000, 65000)
    webp = bytearray(encode(pixels(16, 16), "WEBP", lossless=True))
    at = webp.index(b"VP8L") + 9
    webp[at : at + 4] = struct.pack("<I", 16383 - 1 | (16383 - 1) << 14)
    return {"png": png_of(60_000, 60_000), "jpg": bytes(jpeg), "webp": bytes(webp)}


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_an_image_that_declares_a_giant_size_is_refused_undecoded(tmp_path, kind):
    content = bombs()[kind]
    assert len(content) < 1 << 20 and MAX_PIXELS < 16383**2
    path = tmp_path / f"bomb.{kind}"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(UsageError, match="too large") as caught:
        read_image(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="1 too large"):
        data.load_photos(tmp_path, size=8, downscale=1)


IMAGES = [
    encode(pixels(24, 24), "PNG"),
    encode(pixels(24, 24), "JPEG"),
    encode(pixels(24, 24), "WEBP"),
    encode(pixels(24, 24), "WEBP", lossless=True),
]


@hypothesis.settings(max_examples=60)
@hypothesis.given(draw=st.data())
def test_mutated_images_are_read_or_refused(tmp_path_factory, draw):
    folder = tmp_path_factory.getbasetemp() / "images"
    folder.mkdir(exist_ok=True)
    content = mutated(draw.draw(st.sampled_from(IMAGES)), draw.draw)
    path = folder / "mutated.png"  # the content decides, not the name
    path.write_bytes(content)
    works_or_is_refused(lambda: read_image(path), np.ndarray)
    options = {"size": 8, "downscale": 1, "validation_fraction": 0, "test_fraction": 0}
    said = works_or_is_refused(lambda: data.load_photos(folder, **options), data.Photos)
    assert said is None or "no photo that can be used" in said or "no image in it" in said
