"""What `bin/sample.py` does with a run of colored digits."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_cinn.data.image_files import SUFFIXES, read_image
from tfp_cinn.errors import UsageError
from tfp_cinn.memory import check_room
from tfp_cinn.tasks.color_digits.task import ColorDigits, draw_colored
from tfp_cinn.tasks.facts import class_names
from tfp_cinn.tasks.output import check_drawing, check_output, to_labels
from tfp_cinn.workdir import Workdir

__all__ = ["sample_color_digits"]


def sample_color_digits(
    workdir: Workdir,
    cond: Sequence[str] | None,
    num_samples: int,
    temperature: float,
    seed: int,
    output: pathlib.Path,
) -> None:
    """Colors test images, or image files, into a sheet or an array file.

    A `.png` holds a row for each image: it in gray, and its colorings. A `.npz` holds `x`, float32
    `[images, num_samples, H, W, 3]`, RGB that may exceed [0, 1] as the data with their noise do,
    `gray`, `[images, H, W, 1]` in [0, 1], `temperature` and `seed`.

    Args:
        workdir: a run of colored digits.
        cond: classes by number or, in any case of letters, by name, of which the first test image
            is taken (the next one, if a class comes again); or image files, light on dark ground as
            the data are, which are scaled to the data's size. All classes if None.
        num_samples: colorings of each.
        temperature: factor on the latents.
        seed: the same seed gives the same colorings.
        output: the `.png` or `.npz` to write.

    Raises:
        UsageError: if data, a class, a file or an argument doesn't serve.
    """
    facts = workdir.dataset()
    names = class_names(facts, workdir / "dataset.json")
    cond = names if cond is None else [str(each) for each in cond]
    if not cond:
        raise UsageError("cond: expected classes or image files, got none")
    check_drawing(num_samples, temperature, seed)
    check_output(output, len(cond), num_samples + 1)
    model = workdir.load_model()
    check_room("num_samples", (len(cond), num_samples, *model.event_shape))
    grays = np.empty((len(cond), *model.cond_shape), np.float32)
    is_file = np.array([each.lower().endswith(SUFFIXES) for each in cond], bool)
    for row in np.flatnonzero(is_file):
        grays[row] = _read_gray(cond[row], model.cond_shape[:2])
    if not is_file.all():
        labels = to_labels([c for c, file in zip(cond, is_file, strict=True) if not file], names)
        config = workdir.config()
        grays[~is_file] = ColorDigits.load(config["data"], config["model"]).test_grays(labels)
    x = model.distribution.sample(grays, num_samples, seed, temperature).numpy().swapaxes(0, 1)
    if not np.isfinite(x).all():
        raise UsageError("a coloring has NaN pixels; lower the temperature, or train further")
    with Workdir(output.parent).writing(output.name) as scratch:
        if output.suffix == ".npz":
            np.savez(scratch, x=x, gray=grays, temperature=temperature, seed=seed)
        else:
            draw_colored(grays, x, scratch)
    print(output)


def _read_gray(path: str, size: tuple[int, int]) -> np.ndarray:
    rgb = read_image(path)
    return tf.image.resize(rgb.mean(axis=-1, keepdims=True), size, tf.image.ResizeMethod.AREA)
