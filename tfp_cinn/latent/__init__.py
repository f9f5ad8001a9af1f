"""Exploring the latent space of a trained conditional flow.

All functions take only the flow's distribution, `model.distribution`. docs/latent.md says what each
one shows and where it misleads.
"""

from tfp_cinn.latent.conditions import resample, sweep, transfer
from tfp_cinn.latent.interpolation import interpolate
from tfp_cinn.latent.principal_components import PrincipalComponents
from tfp_cinn.latent.sets import latents, nats_per_dim
from tfp_cinn.latent.typicality import Typicality, auroc

__all__ = [
    "PrincipalComponents",
    "Typicality",
    "auroc",
    "interpolate",
    "latents",
    "nats_per_dim",
    "resample",
    "sweep",
    "transfer",
]
