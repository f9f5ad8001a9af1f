"""The figures of an evaluation as people and as programs read them."""

from __future__ import annotations

from collections.abc import Mapping

from tfp_cinn.metrics.estimate import Estimate

__all__ = ["ROWS", "table"]

# Unit and meaning of each figure, in the order of the table.
ROWS: dict[str, tuple[str, str]] = {
    "nats_per_dim": ("nats/dim", "-log p(x | c) / D of test images; lower is better"),
    "bits_per_dim": ("bits/dim", "the same over log 2: bounds the code length of a pixel"),
    "class_accuracy": ("share", "test images whose class has the highest p(x | c)"),
    "cnn_accuracy_real": ("share", "test images that a CNN trained on real ones recognizes"),
    "cnn_accuracy_samples": ("share", "samples that it recognizes; the row above is the ceiling"),
    "pair_distance_real": ("levels", "RMS pixel distance of two test images of a class"),
    "pair_distance_samples": ("levels", "the same of two samples"),
    "diversity_ratio": ("1", "samples over real; 1 is as varied as real, 0 is collapsed"),
    "neighbor_distance_real": ("levels", "of a test image to the nearest training image"),
    "neighbor_distance_samples": ("levels", "of a sample; 0 would be a copy"),
    "latent_mean": ("1", "mean of z over test images and dimensions; 0 if z is N(0, I)"),
    "latent_std": ("1", "standard deviation of z; 1 if z is N(0, I)"),
    "latent_square": ("1", "mean |z|^2 / D; 1 if z is N(0, I)"),
    "latent_kurtosis": ("1", "E z^4 / (E z^2)^2 about the mean; 3 if z is N(0, I)"),
}


def table(figures: Mapping[str, Estimate]) -> str:
    """Figures as aligned lines: name, mean +- standard error, unit, meaning.

    Args:
        figures: by the names of `ROWS`.
    """
    width = max(map(len, ROWS))
    lines = [f"  {'quantity':{width}}  {'mean':>9} +- {'error':8}  {'unit':8}  meaning"]
    lines += [
        f"  {name:{width}}  {figures[name].mean:9.4f} +- {figures[name].standard_error:<8.4f}"
        f"  {unit:8}  {meaning}"
        for name, (unit, meaning) in ROWS.items()
        if name in figures
    ]
    return "\n".join(lines)
