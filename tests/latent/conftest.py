import pytest

from tfp_cinn import CINN
from tfp_cinn.bijectors import (
    Chain,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    RandomPermutation,
    Standardize,
)
from tfp_cinn.networks import MLP, OneHot

SHAPE = (4, 4, 2)


def coupling():
    return GlowCoupling(MLP([16], "tanh"), clamp=1.0)


@pytest.fixture
def dist(perturb):
    """Of a flow of images [4, 4, 2] given one of four classes."""
    flow = [Standardize(1.0, 2.0), Flatten(), coupling(), RandomPermutation(0), coupling()]
    model = CINN(Chain(flow), SHAPE, OneHot(4), cond_shape=())
    perturb([model])
    return model.distribution


@pytest.fixture
def multi_scale(perturb):
    """The same of two resolutions: 20 latents leave at [2, 2, 5], 12 go on."""
    rest = Chain([Flatten(), coupling(), RandomPermutation(1), coupling()])
    flow = Chain([HaarDownsampling(), FactorOut(3, rest)])
    model = CINN(flow, SHAPE, OneHot(4), cond_shape=())
    perturb([model])
    return model.distribution
