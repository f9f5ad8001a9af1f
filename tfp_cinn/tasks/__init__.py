"""Tasks: what x and the condition are in a problem, and what the programs need to know of it."""

from tfp_cinn.tasks.arrays.task import Arrays
from tfp_cinn.tasks.class_images.task import ClassImages
from tfp_cinn.tasks.color_digits.task import ColorDigits
from tfp_cinn.tasks.colorization.task import Colorization
from tfp_cinn.tasks.evaluation import evaluate
from tfp_cinn.tasks.explore.explore import explore
from tfp_cinn.tasks.sampling import sample
from tfp_cinn.tasks.task import Task, find, load, names, register, restore, without_data

__all__ = [
    "Arrays",
    "ClassImages",
    "ColorDigits",
    "Colorization",
    "Task",
    "evaluate",
    "explore",
    "find",
    "load",
    "names",
    "register",
    "restore",
    "sample",
    "without_data",
]
