"""Hues of colored digits, compared with those of their class."""

from __future__ import annotations

import numpy as np

from tfp_cinn.metrics.figure import Figure, metric

__all__ = ["circular_distance", "digit_hues", "hue_distance"]

# A pixel within this share of the gray range from the darkest or brightest one is background or
# foreground.
_NEAR = 0.1

_RESAMPLES = 200


def digit_hues(rgb: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """Return the hues of foreground and background of colored digits.

    Each is the hue of the mean color (R, G, B) of the pixels within a tenth of the gray range from
    the brightest or the darkest pixel:

        hue = arg(R + exp(2 pi i / 3) G + exp(4 pi i / 3) B)

    Taking the mean first averages out noise and gives pale pixels little weight. The result is
    within 1.2 degrees of HSV's hue.

    Args:
        rgb: `[..., H, W, 3]`, of any range.
        gray: the gray digits, `[..., H, W, 1]`; their batch dimensions broadcast against `rgb`'s.

    Returns:
        Foreground and background, `[..., 2]`, degrees in [0, 360); NaN if a pixel is.
    """
    darkest, brightest = (f(gray, axis=(-3, -2, -1), keepdims=True) for f in (np.min, np.max))
    margin = _NEAR * (brightest - darkest)
    hues = []
    for mask in (gray >= brightest - margin, gray <= darkest + margin):
        red, green, blue = np.moveaxis((rgb * mask).sum(axis=(-3, -2)), -1, 0)
        hues.append(np.arctan2(np.sqrt(3) / 2 * (green - blue), red - (green + blue) / 2))
    return np.degrees(np.stack(hues, axis=-1)) % 360


def circular_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Wasserstein-1 distance of two samples of angles on the circle.

        W_1 = min over t of the integral of |F_a - F_b - t| over the circle

    with the distribution functions F; the minimum is at the median of F_a - F_b.

    Args:
        a: `[N]`, degrees of any range.
        b: `[M]`, likewise.

    Returns:
        Degrees, 0 to 180; NaN if an angle is.

    References:
        J. Rabin, J. Delon, Y. Gousseau: Transportation distances on the circle, 2011, Journal of
        Mathematical Imaging and Vision 41.
    """
    angles = np.concatenate([a, b]) % 360
    if not np.isfinite(angles).all():
        return float("nan")
    order = np.argsort(angles)
    angles = angles[order]
    steps = np.concatenate([np.full(len(a), 1 / len(a)), np.full(len(b), -1 / len(b))])
    difference = np.cumsum(steps[order])
    lengths = np.diff(angles, append=angles[0] + 360)
    ranks = np.argsort(difference)
    middle = np.searchsorted(np.cumsum(lengths[ranks]), 180)
    return float(np.sum(lengths * np.abs(difference - difference[ranks[middle]])))


@metric("degrees", "distance of hues from the data's, mean over classes and both grounds")
def hue_distance(
    hues: np.ndarray, reference: np.ndarray, labels: np.ndarray, seed: int = 0
) -> Figure:
    """Return the mean distance of hues from a reference's, over classes, foreground and background.

    For each class, and foreground and background, this is the `circular_distance` of all hues. Two
    finite samples of one distribution aren't at distance 0: compare with a second reference. The
    standard error comes from 200 bootstrap resamples of the images within their class.

    Args:
        hues: of K colorings of each image, `[N, K, 2]`, degrees.
        reference: likewise, of the same images.
        labels: classes, `[N]`.
        seed: seed of the bootstrap.

    Returns:
        The distance in degrees; NaN if there are no images.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if not groups:
        return Figure.average([])
    resampled = [
        _mean_distance(hues, reference, [rng.choice(rows, len(rows)) for rows in groups])
        for _ in range(_RESAMPLES)
    ]
    mean = _mean_distance(hues, reference, groups)
    return Figure(mean, float(np.std(resampled, ddof=1)))


def _mean_distance(hues, reference, groups):
    distances = [
        circular_distance(hues[rows, :, part].ravel(), reference[rows, :, part].ravel())
        for rows in groups
        for part in range(2)
    ]
    return float(np.mean(distances))
