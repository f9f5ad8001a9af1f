"""Images in folders, one folder a class."""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import MAX_PIXELS, by_reason, open_image, to_rgb
from tfp_cinn.data.labeled_images import Fitting, Source, Split
from tfp_cinn.errors import UsageError

_HELD_OUT = ("test", "validation", "valid", "val")  # folders beside `train`
_EXPECTED = "expected FOLDER/CLASS/*.png (or JPEG, WebP, TIFF, BMP, GIF), one folder a class"


class _Row(NamedTuple):
    is_last: bool  # of its class
    digest: bytes
    label: int
    pixels: np.ndarray


def read_class_folders(
    folder: str | os.PathLike[str], fitting: Fitting, test_fraction: float = 0.1
) -> Source:
    """Read `FOLDER/CLASS/**/*`, or `FOLDER/{train,test,validation}/CLASS/**/*`.

    Classes are numbered in the order of their names, by value if all are numbers. Hidden folders
    are left out. Without a folder of test images, an image is one if the SHA-256 of its bytes, read
    as a number in [0, 1), is below `test_fraction`: neither renaming nor adding files moves others.
    Each class has a test and a training image; where chance gives none, the lowest or the highest
    digest of the class is it. Of a class's files with the same bytes one is used.

    Args:
        folder: where the classes are; symbolic links are followed.
        fitting: brings the images to one shape.
        test_fraction: above 0 and below 1.

    Returns:
        Images in the order of their digests, the last of each class at the end, so that a
        validation set taken from the front leaves every class one.

    Raises:
        UsageError: there are no classes, a class has too few images that can be read, images differ
            in size and `fitting` has none, or `test_fraction` is out of range.
    """
    if not 0 < test_fraction < 1:
        raise UsageError(f"test_fraction is {test_fraction}, expected a number between 0 and 1")
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder, {_EXPECTED}: check the path")
    folders = _parts(root)
    names = _classes(folders["train"])
    if not names:
        raise UsageError(f"{folders['train']} has no folders in it, {_EXPECTED}")
    skipped: dict[str, str] = {}
    rows: dict[str, list[_Row]] = {}
    for part, place in folders.items():
        unknown = sorted(set(_classes(place)) - set(names))
        if unknown:
            raise UsageError(f"{place} has the class {unknown[0]!r}, which train lacks: rename it")
        for label, name in enumerate(names):
            files = _read(place / name, label, fitting, skipped)
            needed = 0 if part != "train" else 1 if len(folders) > 1 else 2
            if len(files) < needed:
                raise UsageError(
                    f"{place / name}: the class has {len(files)} images that can be used, expected "
                    f"{needed} or more, to train and to test; skipped {by_reason(skipped)}: add "
                    "images or remove it"
                )
            shares = {part: files} if len(folders) > 1 else _by_digest(files, test_fraction)
            for share, chosen in shares.items():
                chosen[-1:] = [row._replace(is_last=True) for row in chosen[-1:]]
                rows.setdefault(share, []).extend(chosen)
    if not rows["test"]:
        raise UsageError(f"{folders['test']} has no images, {_EXPECTED}")
    rows = {part: sorted(found, key=lambda row: row[:3]) for part, found in rows.items() if found}
    images = fitting.stack([row.pixels for found in rows.values() for row in found], str(root))
    ends = np.cumsum([len(found) for found in rows.values()])
    splits = {
        part: Split(pixels, np.array([row.label for row in found], np.int32))
        for (part, found), pixels in zip(rows.items(), np.split(images, ends[:-1]), strict=True)
    }
    counts = ", ".join(f"{len(split.labels)} {part}" for part, split in splits.items())
    summary = f"{root}: {len(names)} classes, {counts} images; skipped {by_reason(skipped)}"
    return Source(splits, tuple(names), summary)


def _parts(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the folder of each split; all is `train` where there is none of held-out images."""
    found = _classes(root)
    held_out = [name for name in _HELD_OUT if name in found]
    if "train" not in found or not held_out or len(found) > 1 + len(held_out):
        return {"train": root}
    parts = zip(("train", "test", "validation"), ("train", *held_out), strict=False)
    return {part: root / name for part, name in parts}


def _classes(root: pathlib.Path) -> list[str]:
    folders = (path for path in root.iterdir() if path.is_dir())
    names = sorted(path.name for path in folders if path.name[0] not in "._")
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else names


def _read(
    folder: pathlib.Path, label: int, fitting: Fitting, skipped: dict[str, str]
) -> list[_Row]:
    """Read the images of a class, in the order of their digests."""

    def read(path: pathlib.Path) -> np.ndarray:
        pixels = to_rgb(open_image(path, MAX_PIXELS))
        if (pixels == pixels[..., :1]).all():
            pixels = pixels[..., :1]
        return fitting.image(pixels)

    found = photo_files.read_folder(folder, read, skipped) if folder.is_dir() else ()
    rows = [_Row(False, digest, label, pixels) for _, digest, pixels in found]
    return sorted(rows, key=lambda row: row.digest)


def _by_digest(files: list[_Row], test_fraction: float) -> dict[str, list[_Row]]:
    number = sum(photo_files.fraction(file.digest) < test_fraction for file in files)
    number = min(max(number, 1), len(files) - 1)
    return {"train": files[number:], "test": files[:number]}
