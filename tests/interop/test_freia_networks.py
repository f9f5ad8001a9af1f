"""Whole networks beside PyTorch's, with the same weights."""

import types

import numpy as np
import pytest
import safetensors.numpy

torch = pytest.importorskip("torch")
pytest.importorskip("FrEIA.modules")

import freia_networks  # noqa: E402
import safetensors.torch  # noqa: E402

from tests.helpers import published  # noqa: E402
from tests.helpers.torch_side import (  # noqa: E402
    assert_near,
    perturb,
    random,
    scales_channels_first,
    state_of,
    to_torch,
)
from tfp_cinn import architectures, data  # noqa: E402
from tfp_cinn.interop import export_freia, import_freia  # noqa: E402

N = 3


def digits(shape):
    split = data.Split(np.zeros((1, *shape), np.uint8), np.zeros(1, np.int32))
    return data.LabeledImages("digits", split, split, split, 10, 256)


def pairs(image_shape, cond_shape):
    return types.SimpleNamespace(image_shape=image_shape, cond_shape=cond_shape)


def mnist_minimal():
    model = architectures.dense_glow(digits((28, 28, 1)), mean=0.0, std=1.0)
    return model, freia_networks.mnist_minimal(), np.arange(N), 0.02


def lsun_minimal():
    shapes = pairs((64, 64, 2), (64, 64, 1))
    units = {"mean": 0.0, "std": 1.0, "cond_mean": 0.0, "cond_std": 1.0}
    model = architectures.colorization_minimal(shapes, **units)
    return model, freia_networks.lsun_minimal(), random(N, 64, 64, 1, seed=2), 0.02


def color_mnist():
    model = architectures.color_mnist(
        pairs((20, 20, 3), (20, 20, 1)),
        conv_blocks=2, conv_hidden=(4, 4), dense_blocks=2, dense_hidden=(6, 6), cond_width=3,
        cond_channels=(4, 5, 5, 6), cond_hidden=(8,),
    )  # fmt: skip

    class Conditioned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.cond = published.color_mnist(), published.Digits()

        def forward(self, x, gray):
            return self.net(x, self.cond(gray))

    return model, Conditioned(), random(N, 20, 20, 1, seed=2), 0.1


def imagenet():
    model = architectures.colorization_imagenet(
        pairs((8, 8, 2), (32, 32, 1)),
        blocks=(2, 1), widths=(4, 6), mixing_widths=(4, 6), keep=(0, 16), strided=(5,),
        dense_blocks=2, dense_hidden=(6, 6, 6), dense_strided=(3, 5), backbone_width=2, mean=0.0,
        std=1.0,
    )  # fmt: skip
    return model, published.Imagenet(), 50 + random(N, 32, 32, 1, seed=2), 0.1


NETWORKS = [mnist_minimal, lsun_minimal, color_mnist, imagenet]
# Relative to the largest value, in float32; rounding alone stays a hundredth of it.
TOLERANCE = 1e-4


@pytest.fixture(params=NETWORKS, ids=lambda network: network.__name__)
def sides(request):
    """A network's two sides with the same weights, and a condition."""
    model, module, cond, std = request.param()
    perturb(module, std)
    import_freia(model, state_of(module))
    return model, module, cond


# The networks of FrEIA 0.2 are given the clamp of the paper.
@pytest.mark.filterwarnings("ignore:the tensors have the names of a FrEIA")
def test_a_network_is_that_of_the_paper(sides):
    model, module, cond = sides
    x = random(N, *model.event_shape, seed=1)
    with torch.no_grad():
        expected, expected_log_det = module(to_torch(x), to_torch(cond))
    features = model.distribution.features(cond)
    z, log_det = model.bijector.inverse_and_log_det(x, features)
    scales = model.bijector.latent_scales
    assert_near(scales_channels_first(z.numpy(), scales), expected.numpy(), TOLERANCE)
    exact = expected_log_det.numpy()
    assert_near(log_det, exact, TOLERANCE)
    # FrEIA decodes what we encoded, and we decode it.
    back, back_log_det = model.bijector.forward_and_log_det(z, features)
    assert_near(back, x, TOLERANCE)
    assert_near(-back_log_det.numpy(), exact, TOLERANCE)
    if hasattr(module, "cinn"):
        with torch.no_grad():
            theirs, _ = module(expected, to_torch(cond), rev=True)
        assert_near(back, np.moveaxis(theirs.numpy(), 1, -1), TOLERANCE)

    # All weights have been set, and come back out as they are.
    state = state_of(module)
    wanted = [name for name in state if "num_batches_tracked" not in name and "final" not in name]
    wanted = [name for name in wanted if name.split(".")[-2] not in ("conv8_313", "class8_ab")]
    exported = export_freia(model, wanted)
    for name in wanted:
        if "M_inv" in name or "logDetM" in name:
            np.testing.assert_allclose(exported[name], state[name], atol=1e-5)
        else:
            np.testing.assert_array_equal(exported[name], state[name])


def test_a_file_of_ours_is_loaded_by_freia(tmp_path):
    model, module, gray, _ = lsun_minimal()
    rng = np.random.RandomState(0)
    for weight in model.trainable_weights:
        weight.assign(0.02 * rng.randn(*weight.shape))
    safetensors.numpy.save_file(export_freia(model, module.state_dict()), tmp_path / "ours")
    module.load_state_dict(safetensors.torch.load_file(tmp_path / "ours"), strict=True)
    x = random(N, *model.event_shape, seed=1)
    with torch.no_grad():
        expected, _ = module(to_torch(x), to_torch(gray))
    z = model.distribution.encode(x, gray).numpy()
    assert_near(scales_channels_first(z, model.bijector.latent_scales), expected.numpy(), TOLERANCE)
