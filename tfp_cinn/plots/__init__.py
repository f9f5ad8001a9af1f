"""Pictures, without numbers."""

from tfp_cinn.plots.curves import draw_curve
from tfp_cinn.plots.panels import Panel, draw_panels

__all__ = ["Panel", "draw_curve", "draw_panels"]
