"""A run's files of strangers: they work, or they are refused in one line."""

import io
import struct
import tracemalloc
import zipfile

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling
from tfp_cinn.networks import MLP
from tfp_cinn.training import checkpoints
from tfp_cinn.training.checkpoints import Moment
from tfp_cinn.workdir import Workdir


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = CINN(Chain([GlowCoupling(MLP([4]))]), (4,), cond_shape=(3,))
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    return model


def parts(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as z:
        return {info.filename: z.read(info) for info in z.infolist()}


def archive_of(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return stream.getvalue()


def mutated(content, draw):
    content = bytearray(content)
    for at in draw(st.lists(st.integers(0, max(0, len(content) - 1)), min_size=1, max_size=3)):
        how = draw(st.sampled_from(["flip", "cut", "insert"]))
        if how == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del content[at:]
        elif how == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(content)


@hypothesis.settings(max_examples=40)
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
    try:
        checkpoints.restore(model, workdir)
    except UsageError as error:
        assert "no checkpoint can be loaded" in str(error) and path.name in str(error)
        assert "\n" not in str(error)
        for variable, value in zip(model.variables, before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)


def test_a_checkpoint_that_declares_more_than_it_holds_takes_no_memory(model, tmp_path):
    path = checkpoints.save(model, Workdir(tmp_path), Moment(), keep=1)
    members = parts(path.read_bytes())
    for shape in ((1 << 40,), (3, 2)):
        header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(1 << 24)
        members |= {"model/00000.npy": content}
        path.write_bytes(archive_of(members, zipfile.ZIP_DEFLATED))
        tracemalloc.start()
        with pytest.raises(UsageError, match="no checkpoint can be loaded"):
            checkpoints.restore(model, Workdir(tmp_path))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 23  # half of what the part inflates to


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b"\xff", b'{"a":'])
def test_a_workdir_whose_config_is_no_config_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UsageError, match="config.json") as caught:
        Workdir(tmp_path).config()
    assert "\n" not in str(caught.value)
