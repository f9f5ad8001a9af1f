"""Tasks: what x and the condition are in a problem, and what the programs need to know of it."""

from tfp_cinn.tasks.arrays.task import Arrays
from tfp_cinn.tasks.class_images.task import ClassImages
from tfp_cinn.tasks.color_digits.task import ColorDigits
from tfp_cinn.tasks.colorization.task import Colorization
from tfp_cinn.tasks.programs import card_facts, evaluate, explore, load, load_nothing, sample
from tfp_cinn.tasks.task import Task, find, names, register

__all__ = [
    "Arrays",
    "ClassImages",
    "ColorDigits",
    "Colorization",
    "Task",
    "card_facts",
    "evaluate",
    "explore",
    "find",
    "load",
    "load_nothing",
    "names",
    "register",
    "sample",
]
