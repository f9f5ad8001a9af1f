"""Samples of a model in training."""

from __future__ import annotations

import pathlib

import numpy as np

from tfp_cinn.evaluation import draw, draw_samples
from tfp_cinn.model import CINN
from tfp_cinn.workdir import Workdir

__all__ = ["draw_class_samples"]


def draw_class_samples(model: CINN, workdir: Workdir, num_samples: int = 10) -> pathlib.Path:
    """Draws `samples.png` in the workdir, a row for each class, with the same latents each time.

    Args:
        model: a class-conditional model.
        workdir: the run, for class names and grey levels.
        num_samples: samples of each class.

    Returns:
        The picture's path.
    """
    facts = workdir.dataset()
    labels = np.arange(facts["num_classes"])
    images = draw(model, labels, num_samples, temperature=1.0, seed=0)
    with workdir.writing("samples.png") as scratch:
        draw_samples(images, facts["levels"], scratch, facts["class_names"])
    return workdir / "samples.png"
