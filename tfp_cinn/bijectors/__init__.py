"""Conditional bijectors: x = f(z; c) with one-pass log-determinants."""

from tfp_cinn.bijectors.act_norm import ActNorm
from tfp_cinn.bijectors.bounded import Bounded, Exp, Softplus
from tfp_cinn.bijectors.chain import Chain
from tfp_cinn.bijectors.clamps import (
    arctan_clamp,
    arctan_unscaled_clamp,
    sigmoid_clamp,
    tanh_clamp,
)
from tfp_cinn.bijectors.computing import computing
from tfp_cinn.bijectors.condition_adapters import Embed, Select
from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.coupling import AdditiveCoupling, AffineCoupling, Coupling, GlowCoupling
from tfp_cinn.bijectors.downsampling import HaarDownsampling, Squeeze
from tfp_cinn.bijectors.elementwise_conditional import ElementwiseConditional
from tfp_cinn.bijectors.ensemble import Ensemble
from tfp_cinn.bijectors.factor_out import FactorOut
from tfp_cinn.bijectors.heavy_tails import HeavyTails
from tfp_cinn.bijectors.householder import Householder
from tfp_cinn.bijectors.latent_scale import LatentScale
from tfp_cinn.bijectors.linear import Linear
from tfp_cinn.bijectors.random_permutation import RandomPermutation
from tfp_cinn.bijectors.reshape import Flatten, Reshape
from tfp_cinn.bijectors.soft_permutation import SoftPermutation
from tfp_cinn.bijectors.splits import Checkerboard, Halves, Split
from tfp_cinn.bijectors.standardize import Standardize
from tfp_cinn.bijectors.transforms import (
    Additive,
    Affine,
    RationalQuadraticSpline,
    Transform,
)

__all__ = [
    "ActNorm",
    "Additive",
    "AdditiveCoupling",
    "Affine",
    "AffineCoupling",
    "Bounded",
    "Chain",
    "Checkerboard",
    "ConditionalBijector",
    "Coupling",
    "ElementwiseConditional",
    "Embed",
    "Ensemble",
    "Exp",
    "FactorOut",
    "Flatten",
    "GlowCoupling",
    "Halves",
    "HaarDownsampling",
    "HeavyTails",
    "Householder",
    "LatentScale",
    "Linear",
    "RandomPermutation",
    "RationalQuadraticSpline",
    "Reshape",
    "Select",
    "SoftPermutation",
    "Softplus",
    "Split",
    "Squeeze",
    "Standardize",
    "Transform",
    "arctan_clamp",
    "arctan_unscaled_clamp",
    "computing",
    "sigmoid_clamp",
    "tanh_clamp",
]
