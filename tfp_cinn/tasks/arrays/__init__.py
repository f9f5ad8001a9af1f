"""Anybody's own x and c."""

from tfp_cinn.tasks.arrays.task import Arrays

__all__ = ["Arrays"]
