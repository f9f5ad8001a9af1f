"""The tasks: data, networks, and how samples of any method are measured."""

from reproduction.tasks.clothes import Clothes, Digits
from reproduction.tasks.colored_digits import ColoredDigits
from reproduction.tasks.photographs import Photographs
from reproduction.tasks.task import SOURCES

__all__ = ["SOURCES", "TASKS"]

TASKS = {
    "clothes": Clothes,
    "digits": Digits,
    "colored_digits": ColoredDigits,
    "photographs": Photographs,
}
