"""Conditional bijectors: x = f(z; c) with one-pass log-determinants."""

from tfp_cinn.bijectors.act_norm import ActNorm
from tfp_cinn.bijectors.additive_coupling import AdditiveCoupling
from tfp_cinn.bijectors.affine_coupling import AffineCoupling
from tfp_cinn.bijectors.bounded import Bounded
from tfp_cinn.bijectors.chain import Chain
from tfp_cinn.bijectors.clamps import (
    arctan_clamp,
    arctan_unscaled_clamp,
    sigmoid_clamp,
    tanh_clamp,
)
from tfp_cinn.bijectors.computing import computing
from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.elementwise_conditional import ElementwiseConditional
from tfp_cinn.bijectors.embed import Embed
from tfp_cinn.bijectors.exp import Exp
from tfp_cinn.bijectors.factor_out import FactorOut
from tfp_cinn.bijectors.flatten import Flatten
from tfp_cinn.bijectors.glow_coupling import GlowCoupling
from tfp_cinn.bijectors.haar_downsampling import HaarDownsampling
from tfp_cinn.bijectors.latent_scale import LatentScale
from tfp_cinn.bijectors.random_permutation import RandomPermutation
from tfp_cinn.bijectors.reshape import Reshape
from tfp_cinn.bijectors.select import Select
from tfp_cinn.bijectors.soft_permutation import SoftPermutation
from tfp_cinn.bijectors.softplus import Softplus
from tfp_cinn.bijectors.squeeze import Squeeze
from tfp_cinn.bijectors.standardize import Standardize

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "Bounded",
    "Chain",
    "ConditionalBijector",
    "ElementwiseConditional",
    "Embed",
    "Exp",
    "FactorOut",
    "Flatten",
    "GlowCoupling",
    "HaarDownsampling",
    "LatentScale",
    "RandomPermutation",
    "Reshape",
    "Select",
    "SoftPermutation",
    "Softplus",
    "Squeeze",
    "Standardize",
    "arctan_clamp",
    "arctan_unscaled_clamp",
    "computing",
    "sigmoid_clamp",
    "tanh_clamp",
]
