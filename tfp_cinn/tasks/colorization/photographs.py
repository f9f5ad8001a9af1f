"""Coloring photographs of any size, into files."""

from __future__ import annotations

import collections
import glob
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from tfp_cinn.color import lab_to_rgb, rgb_to_lab, upsample_ab
from tfp_cinn.color.upsample import area_average
from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import check_image, read_image
from tfp_cinn.errors import UsageError, WriteError
from tfp_cinn.files import writing
from tfp_cinn.latent.noise import noise
from tfp_cinn.model import CINN
from tfp_cinn.plots.panels import Panel, check_picture, draw_panels
from tfp_cinn.tasks.sampler import Sampler, sample_seeds

__all__ = ["check_size", "color_photographs", "colorize", "find_images"]

_STRIP_ROWS = 128
_SHOWN_SIDE = 256  # pixels of an image in a contact sheet
_COLORFUL = 4.0  # chroma; below it an image counts as gray
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
# JPEG stores color at half the resolution unless told not to.
_OPTIONS = dict.fromkeys((".jpg", ".jpeg"), {"quality": 95, "subsampling": 0}) | {
    ".webp": {"quality": 95}
}


def find_images(cond: Sequence[str] | None) -> list[str]:
    """List the image files that `cond` names: files, folders (at any depth) and patterns.

    Raises:
        UsageError: a folder or a pattern has no images, or nothing is named.
    """
    if not cond:
        raise UsageError("cond: expected image files, such as --cond=photo.jpg, got none")
    found = []
    for name in map(os.path.expanduser, cond):
        if os.path.isdir(name):
            files = [str(path) for path in photo_files.find(name)]
        elif not os.path.exists(name) and glob.has_magic(name):
            files = sorted(filter(os.path.isfile, glob.glob(name, recursive=True)))
        else:
            files = [name]
        if not files:
            raise UsageError(f"cond: {name} has no images; name image files, or their folder")
        found += files
    return found


def check_size(model: CINN, rgb: np.ndarray) -> None:
    """Refuse a photograph `[H, W, 3]` that is smaller than the model's condition."""
    height, width, _ = model.cond_shape
    if rgb.shape[0] < height or rgb.shape[1] < width:
        raise UsageError(
            f"expected an image of at least {width} x {height} pixels for this model, got "
            f"{rgb.shape[1]} x {rgb.shape[0]}; enlarge it"
        )


def colorize(
    model: CINN, gray: np.ndarray, seed: np.ndarray, temperature: np.ndarray
) -> dict[str, np.ndarray]:
    """Color a photograph at its own resolution.

    The flow sees lightness of the whole photograph at the size of its condition, whatever the
    photograph's proportions; the color that it draws is upsampled along the edges of lightness.

    Args:
        model: a colorization model.
        gray: sRGB gray levels in [0, 1], `[1, H, W, 1]`, at least as large as the condition.
        seed: two integers, `[1, 2]`.
        temperature: factor on the latents, `[1]`.

    Returns:
        `rgb`, float32 `[1, H, W, 3]`, in [0, 1].

    Raises:
        UsageError: the photograph is smaller than the condition.
    """
    check_size(model, gray[0])
    L = np.concatenate(
        [rgb_to_lab(np.repeat(rows, 3, axis=-1))[..., :1] for rows in _strips(gray[0])]
    )
    small_L = area_average(tf.constant(L[np.newaxis]), model.cond_shape[:2])
    dist = model.distribution
    z = temperature[0] * noise(seed, model.bijector.latent_shape, dist.dtype.name)
    ab = dist.decode(z, small_L)[0]
    image = np.concatenate([L, _upsample(ab, L)], axis=-1)
    del L
    for rows in _strips(image):
        rows[:] = lab_to_rgb(rows)
    return {"rgb": image[np.newaxis]}


# A graph takes a third of the memory, as it lets go of what it has used.
_upsample = tf.function(upsample_ab, reduce_retracing=True)


def _strips(image: np.ndarray) -> list[np.ndarray]:
    """Views of some rows each: conversions hold ten times what they are given."""
    return np.array_split(image, -(-len(image) // _STRIP_ROWS))


def gray_of(rgb: np.ndarray) -> np.ndarray:
    """Return a photograph's lightness as gray levels `[H, W, 1]` in [0, 1]."""
    rows = (lab_to_rgb(rgb_to_lab(rows) * [1.0, 0.0, 0.0]) for rows in _strips(rgb))
    return np.concatenate([each[..., :1] for each in rows]).clip(0, 1)


def color_photographs(
    sampler: Sampler,
    cond: Sequence[str] | None,
    num_samples: int,
    temperature: float,
    seed: int,
    output: pathlib.Path,
) -> None:
    """Color photographs into photographs, a contact sheet or an array file.

    The name of `output` decides; capitals don't matter.

    - A folder, or a name without a suffix: each coloring at full resolution, `NAME_1.jpg` for a
      JPEG file and `NAME_1.png` for others, and so on, and the contact sheet, `sheet.png`.
    - `.png`, `.jpg`, `.jpeg`, `.webp`: of one photograph and one sample the coloring itself, at
      full resolution; of more a contact sheet: a row for each photograph, it in gray, its
      colorings, and itself if it had color.
    - `.npz`: `rgb_0`, `rgb_1`, ..., the colorings of each photograph at full resolution, uint8
      `[num_samples, H, W, 3]`.

    Every coloring is written as soon as it is made; one at a time is in memory.

    Args:
        sampler: answers the signature `colorize`.
        cond: the photographs: see `find_images`.
        num_samples: colorings of each.
        temperature: factor on the latents.
        seed: of the colorings.
        output: what to write.

    Raises:
        UsageError: a file or an argument is wrong.
    """
    paths = find_images(cond)
    for path in paths:
        check_image(path)  # before hours of coloring others

    def paint(gray):
        for (pair,) in sample_seeds(seed, None, num_samples):
            inputs = {
                "gray": gray[np.newaxis],
                "seed": pair[np.newaxis],
                "temperature": np.full(1, temperature),
            }
            # One by one: eight of twelve megapixels don't fit in a message.
            yield sampler.predict("colorize", inputs)["rgb"][0]

    suffix = output.suffix.lower()
    if not output.parent.is_dir():
        raise UsageError(f"{output}: expected a file or folder in a folder that exists")
    if output.is_dir() or not suffix:
        output.mkdir(exist_ok=True)
        _into_folder(paint, paths, num_samples, output)
    elif suffix == ".npz":
        _into_arrays(paint, paths, num_samples, output)
    elif suffix not in _PICTURES:
        raise UsageError(
            f"{output}: expected a folder, or the name of a {', '.join(_PICTURES)} or .npz file"
        )
    elif len(paths) == num_samples == 1:
        _color_one(paint, paths[0], lambda _, rgb: _save(rgb, output))
    else:
        check_picture(output, len(paths), num_samples + 2)
        rows = [_color_one(paint, path, lambda *_: None) for path in paths]
        _draw_rows(rows, num_samples, output)


def _thumbnail(levels: np.ndarray) -> np.ndarray:
    """Return an image, uint8 `[H, W, 3]`, as a square of a contact sheet, in [0, 1]."""
    square = ImageOps.pad(Image.fromarray(levels), (_SHOWN_SIDE, _SHOWN_SIDE), color="white")
    return np.float32(square) / 255


def _color_one(
    paint: Callable[[np.ndarray], Iterable[np.ndarray]],
    path: str,
    save: Callable[[int, np.ndarray], None],
) -> np.ndarray:
    """Save the colorings of a photograph, uint8; return its row of a contact sheet."""
    rgb = read_image(path)
    small = ImageOps.contain(Image.fromarray(_levels(rgb)), (_SHOWN_SIDE, _SHOWN_SIDE))
    small = np.float32(small) / 255
    ab = rgb_to_lab(small)[..., 1:].numpy()
    is_colorful = np.hypot(*np.moveaxis(ab, -1, 0)).mean() > _COLORFUL
    original = _thumbnail(_levels(small if is_colorful else np.ones_like(small)))
    row = [_thumbnail(_levels(np.repeat(gray_of(small), 3, axis=-1)))]
    gray = gray_of(rgb)
    del rgb  # photographs are large
    try:
        for colored in paint(gray):  # not enumerate, which would keep the one before
            if not np.isfinite(colored).all():
                raise UsageError("a coloring has NaN pixels; lower the temperature")
            levels = _levels(colored)
            del colored
            save(len(row) - 1, levels)
            row.append(_thumbnail(levels))
    except WriteError:
        raise
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return np.stack([*row, original])


def _into_folder(paint, paths: Sequence[str], num_samples: int, folder: pathlib.Path) -> None:
    sheet = folder / "sheet.png"
    check_picture(sheet, len(paths), num_samples + 2)
    rows, stems = [], collections.Counter()
    for path in map(pathlib.Path, paths):
        stems[path.stem] += 1
        again = f"-{stems[path.stem]}" if stems[path.stem] > 1 else ""
        suffix = ".jpg" if path.suffix.lower() in (".jpg", ".jpeg") else ".png"

        def save(number, rgb, start=folder / f"{path.stem}{again}", suffix=suffix):
            _save(rgb, start.with_name(f"{start.name}_{number + 1}{suffix}"))

        rows.append(_color_one(paint, str(path), save))
    _draw_rows(rows, num_samples, sheet)


def _into_arrays(paint, paths: Sequence[str], num_samples: int, output: pathlib.Path):
    """Write the file that `np.savez` writes, a coloring at a time."""
    with writing(output) as scratch, zipfile.ZipFile(scratch, "w") as archive:
        for row, path in enumerate(paths):
            with archive.open(f"rgb_{row}.npy", "w", force_zip64=True) as file:

                def save(number, rgb, file=file):
                    if number == 0:
                        shape = (num_samples, *rgb.shape)
                        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                        np.lib.format.write_array_header_1_0(file, header)
                    file.write(rgb.tobytes())

                _color_one(paint, path, save)


def _levels(rgb: np.ndarray) -> np.ndarray:
    scaled = rgb * np.float32(255)
    scaled += 0.5  # in place, as photographs are large
    return scaled.astype(np.uint8)


def _save(rgb: np.ndarray, path: pathlib.Path) -> None:
    with writing(path) as scratch:
        Image.fromarray(rgb).save(scratch, **_OPTIONS.get(path.suffix.lower(), {}))


def _draw_rows(rows: Sequence[np.ndarray], num_samples: int, path: pathlib.Path) -> None:
    labels = ["gray", *map(str, range(1, num_samples + 1)), "original"]
    with writing(path) as scratch:
        draw_panels([Panel(np.stack(rows), column_labels=labels)], scratch)
