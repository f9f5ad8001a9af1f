"""A run's files of strangers: they work, or they are refused in one line."""

import struct
import tracemalloc
import zipfile

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.helpers.hostile import JSON, archive_of, mutated, parts, works_or_is_refused
from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling
from tfp_cinn.configs import TrainConfig, default_config
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


@hypothesis.given(draw=st.data(), sealed=st.booleans())
def test_mutated_checkpoints_are_restored_or_refused(model, tmp_path_factory, draw, sealed):
    workdir = Workdir(tmp_path_factory.getbasetemp() / "mutated")
    workdir.path.mkdir(exist_ok=True)
    path = checkpoints.save(model, workdir, Moment(3, 1, 1))
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
    path = checkpoints.save(model, Workdir(tmp_path), Moment())
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


TRAIN = default_config().train.to_dict()


@hypothesis.given(
    st.dictionaries(
        st.sampled_from(sorted(TRAIN)),
        JSON | st.integers(-2, 100) | st.floats(0, 1) | st.lists(st.integers(0, 9), max_size=3),
        min_size=1,
        max_size=3,
    ),
)
def test_the_fields_of_training_are_right_or_refused(changes):
    def rates():
        config = TrainConfig.of(TRAIN | changes)
        rates = [config.rate(epoch) for epoch in (0, 1, config.epochs)]
        assert all(0 <= rate < np.inf for rate in rates)
        return rates

    works_or_is_refused(rates, list)
