"""Exploring the latent space of a trained conditional flow.

All functions take only the flow's distribution. docs/latent.md says what each one shows and where
it misleads.
"""

from tfp_cinn.latent.batches import latents
from tfp_cinn.latent.interpolation import interpolate
from tfp_cinn.latent.principal_components import PrincipalComponents
from tfp_cinn.latent.ranking import Ranking, rank
from tfp_cinn.latent.resolution import resample
from tfp_cinn.latent.style_transfer import transfer
from tfp_cinn.latent.temperature import sweep
from tfp_cinn.latent.typicality import Typicality, auroc

__all__ = [
    "PrincipalComponents",
    "Ranking",
    "Typicality",
    "auroc",
    "interpolate",
    "latents",
    "rank",
    "resample",
    "sweep",
    "transfer",
]
