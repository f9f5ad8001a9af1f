"""The report's tables, of whatever results there are."""

import pandas as pd

NAMES = {
    "data": "real data",
    "gray": "gray",
    "mean_color": "mean color",
    "cinn": "cINN",
    "cooler": "cINN at T = 0.8",
    "vae": "VAE",
    "gan": "GAN",
    "regression": "regression",
}
REFERENCES = ("data", "gray", "mean_color")

# Of each figure: its heading, and digits after the point.
_FIGURES = {
    "weights": ("trained weights, millions", 2),
    "train_seconds": ("training, seconds of one core", 0),
    "sample_ms": ("a sample, ms of one core", 2),
    "bits_per_dim": ("bits/dim", 3),
    "accuracy": ("accuracy of the classifier", 3),
    "top5_agreement": ("top-5 agreement", 2),
    "frechet": ("Fréchet distance", 1),
    "fid_lite0": ("`fid_lite0`", 1),
    "coverage": ("coverage", 3),
    "recall": ("recall", 3),
    "diversity_ratio": ("diversity over real", 3),
    "hue_distance": ("hues' distance, degrees", 1),
    "hue_spread_ratio": ("hues' spread over real", 2),
    "sharpness_ratio": ("sharpness over real", 2),
    "best_of_1": ("best of 1, RMS error, %", 1),
    "best_image_of_8": ("best image of 8", 1),
    "best_of_8": ("best of 8, as the paper counts", 1),
    "pixel_variance": ("pixel variance, 1e-4", 0),
    "chroma": ("chroma, Lab units", 1),
    "chroma_distance": ("chroma distance, Lab units", 1),
    "neighbor_ratio": ("distance to training images over that of test images", 2),
    "reconstruction": ("reconstruction error, % of the data's spread", 1),
}
_FACTORS = {"weights": 1e-6, "pixel_variance": 1e4}
_STYLE = {
    "transfer_accuracy": "transferred images that the classifier gives their new class",
    "transfer_accuracy_before": "the same images before, and their own class",
    "brightness_kept": "correlation of brightness before and after",
    "brightness_of_others": "with other images of the class",
    "contrast_kept": "correlation of contrast before and after",
    "contrast_of_others": "with other images of the class",
}


def frame_of(pairs):
    """Return a table of all runs, in the order of their jobs.

    Args:
        pairs: jobs with their results, None where there is none.

    Returns:
        A row a run: what its job says (task, method, variant, stage, seed), its figures, `history`
        and `foreign`. A flow at a lower temperature is a run of the method "cooler", images that
        need no model are runs of `REFERENCES`. Jobs without a result have no figures.
    """
    rows = []
    for job, result in pairs:
        of_job = {key: getattr(job, key) for key in ("task", "stage", "method", "variant", "seed")}
        result = result or {}
        kept = {k: v for k, v in result.items() if k not in ("job", "figures", "figures_cooler")}
        rows.append(of_job | kept | result.get("figures", {}))
        if "figures_cooler" in result:
            rows.append(of_job | {"method": "cooler"} | result["figures_cooler"])
        for name, figures in result.get("rows", {}).items():
            rows.append(of_job | {"method": name} | figures)
    extra = ("history", "foreign", "process_seconds")
    columns = dict.fromkeys(["task", "stage", "method", "variant", *_FIGURES, *_STYLE, *extra])
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=list(dict.fromkeys([*columns, *frame.columns])))


def chosen(frame, **wanted):
    """Return the runs whose columns have these values."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def values(frame, figure, **wanted):
    """Return a figure of the runs chosen that have it, in the order of their seeds."""
    return chosen(frame, **wanted)[figure].dropna().tolist()


def methods_table(frame, task, methods):
    """Figures of real data, of the cINN and of other methods on a task, a column each."""
    own = chosen(frame, task=task)
    own = own[own.variant.isin(["", "joint"]) & (own.stage == task)]
    columns = [name for name in REFERENCES if name in set(own.method)]
    columns += ["cinn", "cooler", *methods]
    lines = []
    for figure, (heading, digits) in _FIGURES.items():
        cells = [_cell(values(own, figure, method=name), figure, digits) for name in columns]
        if any(cells[columns.index("cinn") :]):
            lines.append([heading, *cells])
    return _markdown(["", *(NAMES[name] for name in columns)], lines)


def conditioner_table(frame):
    """Colored digits with the conditioner trained jointly, frozen, and without one."""
    figures = (
        "weights", "bits_per_dim", "hue_distance", "accuracy", "frechet", "coverage",
        "best_image_of_8",
    )  # fmt: skip
    flows = chosen(frame, task="colored_digits", method="cinn")
    lines = [
        [variant, *(_cell(values(flows, f, variant=variant), f, _FIGURES[f][1]) for f in figures)]
        for variant in ("joint", "frozen", "none")
    ]
    return _markdown(["conditioner", *(_FIGURES[figure][0] for figure in figures)], lines)


def differences(frame, variant):
    """Bits/dim of digits trained otherwise, less those of the same seed as configured."""
    digits = chosen(frame, task="digits")
    plain, other = (values(digits, "bits_per_dim", variant=v) for v in ("as configured", variant))
    return [b - a for a, b in zip(plain, other, strict=False)]


def ablation_table(frame, variants):
    """Likelihood of digits, trained otherwise than configured."""
    lines = []
    for variant in variants:
        runs = chosen(frame, task="digits", variant=variant)
        last = [history[-1]["bits_per_dim"] for history in runs.history.dropna()]
        pairs = [] if variant == "as configured" else differences(frame, variant)
        shown = _cell(pairs, "", 3, sign="+")
        bits = _cell(values(runs, "bits_per_dim"), "", 3)
        lines.append([variant, bits, shown, _cell(last, "", 3)])
    heading = ["", "test bits/dim", "difference, seed by seed", "training bits/dim, last epoch"]
    return _markdown(heading, lines)


def stability_table(frame):
    """How training went, of all runs of a kind."""
    lines = []
    for task in ("clothes", "colored_digits", "photographs", "digits"):
        variant = "as configured" if task == "digits" else "joint"
        runs = chosen(frame, task=task, method="cinn", variant=variant)
        bits, rises = values(runs, "bits_per_dim"), []
        for history in runs.history.dropna():
            curve = pd.Series([entry["val_bits_per_dim"] for entry in history])
            rises.append((curve - curve.cummin()).max())
        largest = f"{max(rises):.3f}" if rises else ""
        lines.append([_plain(task), f"{len(runs)}", f"{len(bits)}", _cell(bits, "", 3), largest])
    rise = "largest rise of validation bits/dim from the lowest before"
    heading = ["", "runs", "ended well", "test bits/dim, mean and spread", rise]
    return _markdown(heading, lines)


def style_table(frame):
    """How well styles are transferred between classes of clothes."""
    runs = chosen(frame, task="clothes", stage="latent")
    lines = [[heading, _cell(values(runs, name), name, 3)] for name, heading in _STYLE.items()]
    return _markdown(["", "Fashion-MNIST"], lines)


def foreign_table(frame):
    """How well foreign inputs are told from test images, by likelihood and by typicality."""
    lines = []
    for task in ("clothes", "colored_digits", "photographs"):
        runs = chosen(frame, task=task, stage="latent").foreign.dropna().tolist()
        for name in runs[0] if runs else ():
            cells = [
                _cell([run[name][key] for run in runs if run[name].get(key) is not None], "", 2)
                for key in ("auroc_likelihood", "auroc_typicality", "caught")
            ]
            lines.append([_plain(task), name, *cells])
    heading = ["", "", "AUROC of likelihood", "of typicality", "caught at 5 % false alarms"]
    return _markdown(heading, lines)


def time_table(frame, stages):
    """How long the stages took."""
    times = frame.dropna(subset="process_seconds").groupby("stage").process_seconds
    counts, minutes = times.count(), times.sum() / 60
    lines = [
        [f"`{stage}`", meaning, f"{counts.get(stage, 0)}", f"{minutes.get(stage, 0.0):.0f}"]
        for stage, meaning in stages.items()
    ]
    lines.append(["", "", f"{counts.sum()}", f"{minutes.sum():.0f}"])
    return _markdown(["stage", "", "jobs", "minutes of one core"], lines)


def _cell(numbers, figure, digits, sign=""):
    """Mean and spread, the standard deviation over seeds."""
    if not numbers:
        return ""
    numbers = pd.Series(numbers) * _FACTORS.get(figure, 1)
    mean = numbers.mean()
    if figure == "reconstruction" and mean < 1e-3:
        return f"{mean:.0e}"
    shown = f"{mean:{sign}.{digits}f}"
    if len(numbers) < 2 or figure == "weights":
        return shown
    return f"{shown} ± {numbers.std():.{digits}f}"


def _plain(name):
    return name.replace("_", " ")


def _markdown(heading, lines):
    rows = [heading, ["---"] * len(heading), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
