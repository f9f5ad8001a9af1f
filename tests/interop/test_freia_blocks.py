"""Every kind of block beside FrEIA's, with the same weights."""

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")
Ff = pytest.importorskip("FrEIA.framework")
Fm = pytest.importorskip("FrEIA.modules")

from torch import nn  # noqa: E402

from tests.helpers.torch_side import assert_near, from_torch, perturb, random, state_of, to_torch  # noqa: E402
from tfp_cinn import CINN  # noqa: E402
from tfp_cinn.bijectors import (  # noqa: E402
    ActNorm,
    AffineCoupling,
    Chain,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    RandomPermutation,
    SoftPermutation,
    Squeeze,
)
from tfp_cinn.interop import import_freia  # noqa: E402
from tfp_cinn.networks import MLP, ConvNet  # noqa: E402


def dense(channels_in, channels_out):
    return nn.Sequential(nn.Linear(channels_in, 8), nn.ReLU(), nn.Linear(8, channels_out))


def conv(channels_in, channels_out):
    return nn.Sequential(
        nn.Conv2d(channels_in, 5, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(5, channels_out, 3, padding=1),
    )


def reflection(size):
    """An orthogonal matrix of determinant -1, as some of the published code's are."""
    q, _ = np.linalg.qr(np.random.RandomState(size).randn(size, size))
    q[:, 0] *= -np.sign(np.linalg.det(q))
    return torch.tensor(q.astype(keras.config.floatx()))


VECTOR, MAPS = (6,), (4, 6, 3)

# Ours, FrEIA's with its arguments (made late, in the precision of the test), the shapes of x and
# of the condition.
BLOCKS = {
    "glow_dense": (
        lambda: [GlowCoupling(MLP([8]), 1.7, "arctan_unscaled")],
        lambda: [(Fm.GLOWCouplingBlock, {"subnet_constructor": dense, "clamp": 1.7})],
        VECTOR, (3,),
    ),
    "glow_dense_of_an_odd_size_without_a_condition": (
        lambda: [GlowCoupling(MLP([8]), 0.6, "arctan_unscaled")],
        lambda: [(Fm.GLOWCouplingBlock,
                  {"subnet_constructor": dense, "clamp": 0.6, "split_len": 3})],
        (7,), None,
    ),
    "glow_dense_with_the_clamp_of_the_paper": (
        lambda: [GlowCoupling(MLP([8]), 1.7)],
        lambda: [(Fm.GLOWCouplingBlock,
                  {"subnet_constructor": dense, "clamp": 1.7,
                   "clamp_activation": lambda s: 0.636 * torch.atan(s / 1.7)})],
        VECTOR, (3,),
    ),
    "glow_dense_tanh": (
        lambda: [GlowCoupling(MLP([8]), 1.0, "tanh")],
        lambda: [(Fm.GLOWCouplingBlock,
                  {"subnet_constructor": dense, "clamp": 1.0, "clamp_activation": "TANH"})],
        VECTOR, (3,),
    ),
    "glow_dense_sigmoid": (
        lambda: [GlowCoupling(MLP([8]), 1.0, "sigmoid")],
        lambda: [(Fm.GLOWCouplingBlock,
                  {"subnet_constructor": dense, "clamp": 1.0, "clamp_activation": "SIGMOID"})],
        VECTOR, (3,),
    ),
    "glow_conv": (
        lambda: [GlowCoupling(ConvNet([5]), 1.2, "arctan_unscaled", event_ndims=3)],
        lambda: [(Fm.GLOWCouplingBlock, {"subnet_constructor": conv, "clamp": 1.2,
                                         "split_len": 1})],
        MAPS, (4, 6, 2),
    ),
    "one_sided_dense": (
        lambda: [AffineCoupling(MLP([8]), 1.5, "arctan_unscaled")],
        lambda: [(Fm.AffineCouplingOneSided, {"subnet_constructor": dense, "clamp": 1.5})],
        VECTOR, (3,),
    ),
    "permutation": (
        lambda: [RandomPermutation(7)], lambda: [(Fm.PermuteRandom, {"seed": 7})], (9,), None,
    ),
    "permutation_of_maps": (
        lambda: [RandomPermutation(7)], lambda: [(Fm.PermuteRandom, {"seed": 7})], (2, 2, 9), None,
    ),
    "haar": (
        lambda: [HaarDownsampling()], lambda: [(Fm.HaarDownsampling, {})], MAPS, None,
    ),
    "haar_rebalanced_by_wavelet": (
        lambda: [HaarDownsampling(0.5, order_by_wavelet=True)],
        lambda: [(Fm.HaarDownsampling, {"rebalance": 0.5, "order_by_wavelet": True})],
        MAPS, None,
    ),
    "squeeze": (
        lambda: [Squeeze()],
        lambda: [(Fm.IRevNetDownsampling, {"legacy_backend": True})],
        MAPS, None,
    ),
    "rotation_of_maps": (
        lambda: [SoftPermutation(0)], lambda: [(Fm.Fixed1x1Conv, {"M": reflection(3)})],
        MAPS, None,
    ),
    "rotation": (
        lambda: [SoftPermutation(0)], lambda: [(Fm.FixedLinearTransform, {"M": reflection(6)})],
        VECTOR, None,
    ),
    "act_norm_of_maps": (lambda: [ActNorm()], lambda: [(Fm.ActNorm, {})], MAPS, None),
    "flatten": (
        lambda: [Flatten(channels_first=True), GlowCoupling(MLP([8]), 1.0)],
        lambda: [(Fm.Flatten, {}),
                 (Fm.GLOWCouplingBlock, {"subnet_constructor": dense, "clamp": 1.0})],
        (2, 4, 3), None,
    ),
}  # fmt: skip

# Without weights or determinant.
SILENT = {"permutation", "permutation_of_maps", "haar", "squeeze"}


class Row(nn.Module):
    """Modules one after the other, named as in a graph; those given are classes with arguments.

    FrEIA's own graph adds up log-determinants that don't depend on x in float32.
    """

    def __init__(self, modules, event_shape, cond_shape):
        super().__init__()
        self.module_list = nn.ModuleList()
        (dims, dims_c) = (
            [(shape[-1], *shape[:-1])] if shape else [] for shape in (event_shape, cond_shape)
        )
        for module, arguments in modules:
            conditioned = {"dims_c": dims_c} if "subnet_constructor" in arguments else {}
            self.module_list.append(module(dims, **conditioned, **arguments))
            dims = self.module_list[-1].output_dims(dims)

    def forward(self, x, c, rev=False):
        total = 0.0
        for module in reversed(self.module_list) if rev else self.module_list:
            conditioned = {"c": c} if getattr(module, "conditional", False) else {}
            (x,), log_det = module([x], rev=rev, **conditioned)
            total = total + log_det
        return x, torch.as_tensor(total, dtype=x.dtype).expand(len(x))


# FrEIA can be given any clamp, which its names don't tell.
@pytest.mark.filterwarnings("ignore:the tensors have the names of a FrEIA")
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_that_of_freia(name, tolerance):
    ours, theirs, event_shape, cond_shape = BLOCKS[name]
    model = CINN(Chain(ours()), event_shape, cond_shape=cond_shape)
    row = perturb(Row(theirs(), event_shape, cond_shape))
    import_freia(model, state_of(row))

    x = random(5, *event_shape, seed=1)
    cond = None if cond_shape is None else random(5, *cond_shape, seed=2)
    conditions = [] if cond is None else [to_torch(cond)]
    z, log_det = model.bijector.inverse_and_log_det(x, cond)
    expected, expected_log_det = row(to_torch(x), conditions)
    assert_near(z, from_torch(expected), tolerance)
    new = random(5, *z.shape[1:], seed=3)
    back, back_log_det = model.bijector.forward_and_log_det(new, cond)
    # FrEIA's Haar module changes its input.
    expected_back, expected_back_log_det = row(to_torch(new).clone(), conditions, rev=True)
    assert_near(back, from_torch(expected_back), tolerance)

    log_dets = [(log_det, expected_log_det), (back_log_det, expected_back_log_det)]
    for got, expected in log_dets:
        if name in SILENT or name.startswith("rotation"):
            np.testing.assert_allclose(got, 0.0)
            np.testing.assert_allclose(expected, 0.0, atol=10 * tolerance)
        else:
            assert_near(got, from_torch(expected), tolerance)


def test_factoring_out_is_splitting_and_concatenating(tolerance):
    rest = Chain([Flatten(channels_first=True), GlowCoupling(MLP([8]), 1.0)])
    model = CINN(Chain([FactorOut(1, rest)]), (2, 4, 3))
    start = Ff.InputNode(3, 2, 4)
    split = Ff.Node(start, Fm.Split, {"section_sizes": [1, 2], "dim": 0})
    leaving = Ff.Node(split.out1, Fm.Flatten, {})
    flat = Ff.Node(split.out0, Fm.Flatten, {})
    block = Ff.Node(flat, Fm.GLOWCouplingBlock, {"subnet_constructor": dense, "clamp": 1.0})
    joined = Ff.Node([leaving.out0, block.out0], Fm.Concat, {"dim": 0})
    graph = Ff.GraphINN([start, split, leaving, flat, block, joined, Ff.OutputNode(joined)])
    import_freia(model, state_of(perturb(graph)))
    x = random(5, 2, 4, 3, seed=1)
    z, log_det = model.bijector.inverse_and_log_det(x)
    expected, expected_log_det = graph(to_torch(x))
    expected = from_torch(expected)
    # What left early is in the order H, W, C here.
    assert_near(z[:, 16:], expected[:, 16:], tolerance)
    early = z.numpy()[:, :16].reshape(5, 2, 4, 2)
    assert_near(early, np.moveaxis(expected[:, :16].reshape(5, 2, 2, 4), 1, -1), tolerance)
    assert_near(log_det, from_torch(expected_log_det), tolerance)
    np.testing.assert_allclose(model.bijector.forward_and_log_det(z)[0], x, atol=10 * tolerance)
