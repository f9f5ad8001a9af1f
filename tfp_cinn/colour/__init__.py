"""Colour of photographs: CIE Lab, and colour at a lower resolution than lightness."""

from tfp_cinn.colour.lab import lab_to_rgb, rgb_to_lab
from tfp_cinn.colour.normalisation import LAB_OFFSETS, LAB_SCALES, denormalise, normalise
from tfp_cinn.colour.photograph import LabParts, split_lab, to_rgb
from tfp_cinn.colour.upsample import upsample_ab

__all__ = [
    "LAB_OFFSETS",
    "LAB_SCALES",
    "LabParts",
    "denormalise",
    "lab_to_rgb",
    "normalise",
    "rgb_to_lab",
    "split_lab",
    "to_rgb",
    "upsample_ab",
]
