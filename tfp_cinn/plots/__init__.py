"""Pictures of data, samples and training."""

from tfp_cinn.plots.pictures import draw_curve, draw_samples

__all__ = ["draw_curve", "draw_samples"]
