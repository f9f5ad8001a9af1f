"""Color of photographs: CIE Lab, and color at a lower resolution than the lightness."""

from tfp_cinn.color.lab import LAB_OFFSETS, LAB_SCALES, lab_to_rgb, rgb_to_lab
from tfp_cinn.color.photograph import LabParts, split_lab, to_rgb
from tfp_cinn.color.upsample import upsample_ab

__all__ = [
    "LAB_OFFSETS",
    "LAB_SCALES",
    "LabParts",
    "lab_to_rgb",
    "rgb_to_lab",
    "split_lab",
    "to_rgb",
    "upsample_ab",
]
