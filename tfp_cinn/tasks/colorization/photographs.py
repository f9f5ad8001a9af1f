"""Coloring photographs of any size, as `bin/sample.py` does for a colorization run."""

from __future__ import annotations

import functools
import pathlib
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from tfp_cinn.color import lab_to_rgb, rgb_to_lab, split_lab, to_rgb
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.plots.pictures import draw_sheet
from tfp_cinn.tasks.output import check_drawing, check_output
from tfp_cinn.workdir import Workdir

__all__ = [
    "check_size",
    "color",
    "draw_colorings",
    "gray_of",
    "on_white",
    "read_image",
    "reduced",
    "sample_colorings",
]

MAX_PIXELS = 64_000_000
"""Pixels of an image to color; its colorings take some 60 bytes a pixel each."""

_SHOWN_SIDE = 256  # pixels of an image in a contact sheet
_COLORFUL = 4.0  # chroma; below it an image counts as gray


def read_image(path: str | pathlib.Path) -> np.ndarray:
    """Reads a JPEG, PNG or WebP file, gray or in color, turned as its EXIF data say.

    The size that the header declares is looked at before anything is decoded.

    Returns:
        sRGB in [0, 1], float32 `[H, W, 3]`.

    Raises:
        UsageError: if there is no such file, or it is damaged, of more than `MAX_PIXELS`, or
            something else.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own bound is higher than ours, and it warns of damaged EXIF data.
            warnings.filterwarnings("ignore", module="PIL")
            with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise Image.DecompressionBombError(f"{width} x {height} pixels")
                rgb = ImageOps.exif_transpose(image).convert("RGB")
    except Image.DecompressionBombError as error:
        raise UsageError(
            f"{path}: too large an image ({error}); expected at most {MAX_PIXELS / 1e6:.0f} "
            "megapixels, make it smaller"
        ) from None
    except Exception as error:  # Pillow raises almost anything on damage
        reason = getattr(error, "strerror", None) or "damaged, or no JPEG, PNG or WebP file"
        raise UsageError(f"{path}: can't be read as an image ({reason})") from None
    return np.asarray(rgb, np.float32) / 255


def check_size(model: CINN, rgb: np.ndarray) -> None:
    """Refuses a photograph `[H, W, 3]` that is smaller than the model's condition."""
    height, width, _ = model.cond_shape
    if rgb.shape[0] < height or rgb.shape[1] < width:
        raise UsageError(
            f"expected an image of at least {width} x {height} pixels for this model, got "
            f"{rgb.shape[1]} x {rgb.shape[0]}; enlarge it"
        )


def color(
    model: CINN, rgb: np.ndarray, num_samples: int, temperature: float, seed: int
) -> np.ndarray:
    """Colorings of a photograph at its own resolution, of which only lightness is used.

    The flow sees lightness of the whole photograph at the size of its condition, whatever the
    photograph's proportions; the color that it draws is upsampled along the edges of lightness.

    Args:
        model: a colorization model.
        rgb: sRGB in [0, 1], `[H, W, 3]`, at least as large as the condition.
        num_samples: how many.
        temperature: factor on the latents.
        seed: the same seed gives the same colorings.

    Returns:
        sRGB in [0, 1], float32 `[num_samples, H, W, 3]`.

    Raises:
        UsageError: if the photograph is smaller than the condition.
    """
    check_size(model, rgb)
    parts = split_lab(rgb, model.cond_shape[:2])
    ab = model.distribution.sample(parts.small_L, num_samples, seed, temperature)
    # One by one: 12 megapixels take most of a gigabyte.
    return np.stack([to_rgb(parts.L, each).numpy() for each in ab])


def sample_colorings(
    workdir: Workdir,
    cond: Sequence[str] | None,
    num_samples: int,
    temperature: float,
    seed: int,
    output: pathlib.Path,
) -> None:
    """Colors photographs with a training run's model; see `draw_colorings`.

    Args:
        workdir: a colorization run.
        cond: the photographs' files.
        num_samples: colorings of each.
        temperature: factor on the latents.
        seed: the same seed gives the same colorings.
        output: the `.png` or `.npz` to write.

    Raises:
        UsageError: if a file or an argument doesn't serve.
    """
    load = functools.cache(workdir.load_model)  # only once the photographs are read

    def paint(rgb):
        return color(load(), rgb, num_samples, temperature, seed)

    draw_colorings(paint, cond, num_samples, temperature, seed, output)


def gray_of(rgb: np.ndarray) -> np.ndarray:
    """A photograph's lightness as an image without color: sRGB, `[..., H, W, 3]`."""
    return lab_to_rgb(rgb_to_lab(rgb) * [1.0, 0.0, 0.0]).numpy()


def draw_colorings(
    paint: Callable[[np.ndarray], np.ndarray],
    cond: Sequence[str] | None,
    num_samples: int,
    temperature: float,
    seed: int,
    output: pathlib.Path,
) -> None:
    """Colors photographs into a contact sheet or an array file.

    A `.png` holds a row for each photograph: it in gray, its colorings, and itself if it had
    color; rows are of one height. A `.npz` holds `rgb_0`, `rgb_1`, ..., the colorings of each
    photograph at full resolution, uint8 `[num_samples, H, W, 3]`, and `temperature` and `seed`.

    Args:
        paint: makes colorings `[num_samples, H, W, 3]` of an image `[H, W, 3]`, all sRGB in
            [0, 1].
        cond: the photographs' files.
        num_samples: colorings of each.
        temperature: factor on the latents, as `paint` uses it.
        seed: of the colorings, as `paint` uses it.
        output: the `.png` or `.npz` to write.

    Raises:
        UsageError: if a file or an argument doesn't serve, or `paint` says so.
    """
    if not cond:
        raise UsageError("cond: expected image files, such as --cond=photo.jpg, got none")
    check_drawing(num_samples, temperature, seed)
    check_output(output, len(cond), num_samples + 2)
    images = [read_image(path) for path in cond]
    full, rows = {}, []
    for number, (path, rgb) in enumerate(zip(cond, images, strict=True)):
        try:
            colored = paint(rgb)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
        if not np.isfinite(colored).all():
            raise UsageError(f"{path}: a coloring has NaN pixels; lower the temperature")
        full[f"rgb_{number}"] = np.round(255 * colored).astype(np.uint8)
        ab = rgb_to_lab(rgb)[..., 1:].numpy()
        colorful = np.hypot(*np.moveaxis(ab, -1, 0)).mean() > _COLORFUL
        last = rgb if colorful else np.ones_like(rgb)
        rows.append(reduced(np.stack([gray_of(rgb), *colored, last])))
    with Workdir(output.parent).writing(output.name) as scratch:
        if output.suffix == ".npz":
            np.savez(scratch, temperature=temperature, seed=seed, **full)
        else:
            labels = ["gray", *map(str, range(1, num_samples + 1)), "original"]
            draw_sheet(on_white(rows), scratch, labels)
    print(output)


def reduced(images: np.ndarray) -> np.ndarray:
    """Images `[N, H, W, 3]` at the size of a contact sheet, or as they are if smaller."""
    height, width = images.shape[1:3]
    scale = min(1.0, _SHOWN_SIDE / max(height, width))
    size = max(1, round(scale * height)), max(1, round(scale * width))
    return tf.image.resize(images, size, tf.image.ResizeMethod.AREA).numpy()


def on_white(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows `[..., H, W, 3]` of images of any sizes as one array, on white."""
    height, width = (max(row.shape[axis] for row in rows) for axis in (-3, -2))
    sheet = np.ones((len(rows), *rows[0].shape[:-3], height, width, 3), np.float32)
    for place, row in zip(sheet, rows, strict=True):
        top, left = (height - row.shape[-3]) // 2, (width - row.shape[-2]) // 2
        place[..., top : top + row.shape[-3], left : left + row.shape[-2], :] = row
    return sheet
