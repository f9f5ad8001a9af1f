"""Makes images that are no photographs but of their kind: colored noise over gradients."""

import io
import pathlib

import numpy as np
from PIL import Image


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:height, :width]
    gradient = np.stack([rows / height, columns / width, 1 - rows / height], -1)
    # Smooth over some pixels, so that lossy formats keep most of it.
    noise = random.uniform(size=(height // 8 + 1, width // 8 + 1, 3))
    noise = noise.repeat(8, 0).repeat(8, 1)[:height, :width]
    return (255 * (0.6 * gradient + 0.4 * noise)).astype(np.uint8)


def encode(image: np.ndarray | Image.Image, format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(stream, format, **options)
    return stream.getvalue()


def write_folder(
    folder: pathlib.Path, count: int, height: int = 40, width: int = 48, first: int = 0
):
    """Writes `count` PNG files, no two alike."""
    folder.mkdir(exist_ok=True, parents=True)
    for seed in range(first, first + count):
        (folder / f"{seed}.png").write_bytes(encode(pixels(height, width, seed)))
    return folder
