"""The report's pictures, of whatever results there are."""

import pathlib

import numpy as np
from matplotlib.figure import Figure

from reproduction.tables import NAMES, REFERENCES, chosen, differences, values
from tfp_cinn.color import to_rgb

_COLORS = {"cinn": "C0", "vae": "C1", "gan": "C2", "regression": "C3"}
_CLOTHES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)  # fmt: skip


def clothes_samples(folder, path):
    """Real images and samples of each method, a row a class."""
    panels = _loaded(folder, "clothes", ("reference", "cinn-0", "vae-0", "gan-0"))
    titles = {"reference": "real", "cinn-0": "cINN", "vae-0": "VAE", "gan-0": "GAN"}
    if len(panels) < 2:
        return
    figure = Figure(figsize=(2.6 * len(panels) + 0.9, 4.6), layout="constrained")
    for place, (name, arrays) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        _grid(place, arrays["x"][:, :6, ..., 0], cmap="gray", vmin=0, vmax=255)
        place.set_title(titles[name])
        rows = _CLOTHES if place.get_subplotspec().is_first_col() else [""] * 10
        place.set_yticks((np.arange(10) + 0.5) * 29, rows, fontsize=8)
        place.tick_params(length=0)
    _save(figure, path)


def colored_digits(folder, path):
    """Colorings of one digit a class, by each method."""
    names = ("reference", "cinn-0", "vae-0", "gan-0", "regression-0")
    panels = _loaded(folder, "colored_digits", names)
    if len(panels) < 2:
        return
    some = next(iter(panels.values()))
    columns = {"gray": np.repeat(some["gray"], 3, axis=-1)[:, np.newaxis]}
    for name, arrays in panels.items():
        title = "data, painted" if name == "reference" else NAMES[name[:-2]]
        columns[title] = arrays["x"][:, : 1 if "regression" in name else 4]
    _side_by_side(columns, 0.5, 5, path)


def photographs(folder, path, lightness):
    """Colorings of test photographs, with their lightness, or at the same one everywhere."""
    names = ("cinn-0", "vae-0", "gan-0", "regression-0")
    panels = _loaded(folder, "photographs", names)
    if len(panels) < 2:
        return
    some = next(iter(panels.values()))
    rows = slice(0, 18, 2)
    true_ab = some["true_ab"][rows]
    columns = {}
    if lightness:
        light = np.float32(some["L"][rows])
        columns["gray"] = to_rgb(light, np.zeros_like(true_ab)).numpy()[:, np.newaxis]
    else:
        light = _one_lightness(true_ab)
    for name, arrays in panels.items():
        count = 1 if "regression" in name else 4
        ab = np.moveaxis(arrays["ab"][rows, :count], 1, 0)
        columns[NAMES[name[:-2]]] = np.moveaxis(to_rgb(light, ab).numpy(), 0, 1)
    if lightness:
        columns["photograph"] = to_rgb(light, true_ab).numpy()[:, np.newaxis]
    _side_by_side(columns, 0.6, 5.6, path)


def modes(frame, path):
    """Coverage against accuracy, a point a run: who collapses, and who draws what was asked for."""
    tasks = {"clothes": "Fashion-MNIST", "colored_digits": "colored digits"}
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for place, (task, title) in zip(figure.subplots(1, 2), tasks.items(), strict=True):
        runs = chosen(frame[frame.variant.isin(["", "joint"])], task=task)
        for name in (*REFERENCES, *_COLORS):
            points = chosen(runs, method=name).dropna(subset=["coverage", "accuracy"])
            if len(points):
                mark = {"color": "0.4", "marker": "*", "markersize": 12}
                if name in _COLORS:
                    mark = {"color": _COLORS[name], "marker": "o"}
                place.plot(points.coverage, points.accuracy, ls="", label=NAMES[name], **mark)
        place.set(title=title, xlabel="coverage of real images", xlim=(-0.03, 1.03))
        place.set(ylabel="share that a classifier recognizes", ylim=(-0.03, 1.03))
        place.grid(alpha=0.3)
        if place.get_legend_handles_labels()[0]:
            place.legend(fontsize=8, loc="lower left")
    _save(figure, path)


def curves(frame, path):
    """Validation likelihood of all seeds over training, and the GAN's losses beside them."""
    tasks = {
        "clothes": "cINN, Fashion-MNIST",
        "colored_digits": "cINN, colored digits",
        "photographs": "cINN, photographs",
    }
    figure = Figure(figsize=(12, 3), layout="constrained")
    places = figure.subplots(1, 4)
    for place, (task, title) in zip(places, tasks.items(), strict=False):
        for history in values(frame, "history", task=task, method="cinn", variant="joint"):
            epochs = [entry["epoch"] for entry in history]
            place.plot(epochs, [entry["val_bits_per_dim"] for entry in history], lw=1.2)
        place.set(title=title, xlabel="epoch", ylabel="validation bits/dim")
        place.grid(alpha=0.3)
    for history in values(frame, "history", task="clothes", method="gan"):
        seconds = [entry["seconds"] for entry in history]
        for loss, style in (("generator", "-"), ("discriminator", ":")):
            places[3].plot(seconds, [entry[loss] for entry in history], style, lw=1.2)
    places[3].set(title="GAN, Fashion-MNIST", xlabel="seconds")
    places[3].set_ylabel("loss (line: generator, dots: discriminator)", fontsize=8)
    places[3].grid(alpha=0.3)
    _save(figure, path)


def conditioners(frame, path):
    """What a conditioning network adds, a point a run."""
    columns = [
        ("bits_per_dim", "bits/dim"),
        ("hue_distance", "hues' distance from the data's, degrees"),
        ("accuracy", "share that a classifier recognizes"),
    ]
    variants = ("joint", "frozen", "none")
    flows = chosen(frame, task="colored_digits", method="cinn")
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    for place, (name, title) in zip(figure.subplots(1, 3), columns, strict=True):
        for row, variant in enumerate(variants):
            found = values(flows, name, variant=variant)
            place.plot(found, [row] * len(found), "o", color=f"C{row}", alpha=0.7)
        place.set_yticks(range(3), variants)
        place.set_ylim(2.5, -0.5)
        place.set_title(title, fontsize=9)
        place.grid(alpha=0.3, axis="x")
    _save(figure, path)


def scales(folder, path):
    """Colorings with the latents of one resolution drawn anew, at one lightness."""
    source = pathlib.Path(folder, "pictures", "photographs-latent-0.npz")
    if not source.exists():
        return
    with np.load(source) as arrays:
        first, ab = arrays["first"], arrays["ab"]  # [N, h, w, 2], [scales, draws, N, h, w, 2]
    light = _one_lightness(first)
    columns = {"coloring": to_rgb(light, first).numpy()[:, np.newaxis]}
    for scale, drawn in enumerate(ab):
        columns[f"scale {scale}"] = np.moveaxis(to_rgb(light, drawn).numpy(), 0, 1)
    _side_by_side(columns, 0.8, 3.6, path)


def ablations(frame, variants, path):
    """Difference of test likelihood from the configured flow, a point a seed."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    place = figure.add_subplot()
    shown = [variant for variant in variants if variant != "as configured"]
    for row, variant in enumerate(shown):
        pairs = differences(frame, variant)
        place.plot(pairs, [row] * len(pairs), "o", color="C0", alpha=0.7)
    place.axvline(0, color="0.5", lw=1)
    place.set_yticks(range(len(shown)), shown)
    place.invert_yaxis()
    place.set_xlabel("test bits/dim minus that of the same seed as configured (right: worse)")
    place.grid(alpha=0.3, axis="x")
    _save(figure, path)


def _one_lightness(ab):
    """L for ab `[N, h, w, 2]` shown by itself."""
    return np.full((*ab.shape[:-1], 1), 65, np.float32)


def _loaded(folder, task, names):
    found = {}
    for name in names:
        path = pathlib.Path(folder, "pictures", f"{task}-{name}.npz")
        if path.exists():
            with np.load(path) as arrays:
                found[name] = dict(arrays)
    return found


def _side_by_side(columns, width, height, path):
    """Panels of images by their titles."""
    # A single image is narrower than its title.
    widths = [max(1.7, images.shape[1]) for images in columns.values()]
    figure = Figure(figsize=(width * sum(widths) + 0.5, height), layout="constrained")
    for place, (title, images) in zip(
        figure.subplots(1, len(columns), width_ratios=widths), columns.items(), strict=True
    ):
        _grid(place, images if images.dtype == np.uint8 else np.clip(images, 0, 1))
        place.set_title(title, fontsize=9)
        place.set_yticks([])
    _save(figure, path)


def _grid(place, images, **how):
    """Images `[rows, columns, H, W(, 3)]` with a white line of a pixel between them."""
    white = 255 if images.dtype == np.uint8 else 1.0
    pad = [(0, 0), (0, 0), (0, 1), (0, 1)] + [(0, 0)] * (images.ndim - 4)
    padded = np.pad(images, pad, constant_values=white)
    rows, columns, height, width = padded.shape[:4]
    canvas = np.swapaxes(padded, 1, 2).reshape(rows * height, columns * width, *padded.shape[4:])
    place.imshow(canvas, interpolation="nearest", **how)
    place.set_xticks([])
    for spine in place.spines.values():
        spine.set_visible(False)


def _save(figure, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
