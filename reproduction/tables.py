"""The report's tables, of whatever results there are."""

import statistics

_NAMES = {
    "data": "real data",
    "gray": "gray",
    "mean_color": "mean color",
    "cinn": "cINN",
    "cooler": "cINN at T = 0.8",
    "vae": "VAE",
    "gan": "GAN",
    "regression": "regression",
}

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
_OF_TRAINING = {"weights", "train_seconds", "sample_ms"}
_FACTORS = {"weights": 1e-6, "pixel_variance": 1e4}


class Results:
    """Results by job.

    Args:
        results: pairs of a job and its result, None where it has none.
    """

    def __init__(self, results):
        self._jobs = [job for job, _ in results]
        self._results = [(job, result) for job, result in results if result]

    def planned(self, **wanted):
        """How many jobs there are that are as wanted, with results or without."""
        return sum(_fits(job, wanted) for job in self._jobs)

    def values(self, figure, part="figures", **wanted):
        """A figure of all jobs that are as wanted, in the order of their seeds.

        Args:
            figure: its name.
            part: of a result, where it is; else in the result itself.
            **wanted: attributes of the jobs.
        """
        found = []
        for job, result in self._results:
            if _fits(job, wanted):
                value = result.get(part, {}).get(figure, result.get(figure))
                if value is not None:
                    found.append(value)
        return found

    def rows(self, task):
        """What the reference job of a task found, by name."""
        for job, result in self._results:
            if job.action == "reference" and job.task == task:
                return result["rows"]
        return {}

    def of(self, **wanted):
        """The results of all jobs that are as wanted."""
        return [result for job, result in self._results if _fits(job, wanted)]


def methods_table(results, task, methods):
    """Figures of real data, of the cINN and of other methods on a task, a column each."""
    references = {k: v for k, v in results.rows(task).items() if k != "truth"}
    columns = [*references, "cinn", "cooler", *methods]
    lines = [_line(["", *(_NAMES[name] for name in columns)]), _line(["---"] * (len(columns) + 1))]
    for figure, (heading, digits) in _FIGURES.items():
        cells = [_cell(_listed(row.get(figure)), figure, digits) for row in references.values()]
        flow = {"task": task, "method": "cinn", "variant": "joint"}
        values = [results.values(figure, **flow), results.values(figure, "figures_cooler", **flow)]
        if figure in _OF_TRAINING:
            values[1] = []
        values += [results.values(figure, task=task, method=method) for method in methods]
        cells += [_cell(each, figure, digits) for each in values]
        if any(cell.strip() for cell in cells[len(references) :]):
            lines.append(_line([heading, *cells]))
    return "\n".join(lines)


def conditioner_table(results):
    """Colored digits with the conditioner trained jointly, frozen, and without one."""
    columns = (
        "weights", "bits_per_dim", "hue_distance", "accuracy", "frechet", "coverage",
        "best_image_of_8",
    )  # fmt: skip
    lines = [
        _line(["conditioner", *(_FIGURES[figure][0] for figure in columns)]),
        _line(["---"] * (len(columns) + 1)),
    ]
    for variant in ("joint", "frozen", "none"):
        cells = [
            _cell(
                results.values(figure, task="colored_digits", method="cinn", variant=variant),
                figure,
                _FIGURES[figure][1],
            )
            for figure in columns
        ]
        lines.append(_line([variant, *cells]))
    return "\n".join(lines)


def ablation_table(results, variants):
    """Likelihood of digits, trained otherwise than configured."""
    lines = [
        _line(["", "test bits/dim", "difference, seed by seed", "training bits/dim, last epoch"]),
        _line(["---"] * 4),
    ]
    plain = results.values("bits_per_dim", task="digits", variant="as configured")
    for variant in variants:
        wanted = {"task": "digits", "variant": variant}
        values = results.values("bits_per_dim", **wanted)
        pairs = [b - a for a, b in zip(plain, values, strict=False)]
        last = [result["history"][-1]["bits_per_dim"] for result in results.of(**wanted)]
        shown = "" if variant == "as configured" else _cell(pairs, "", 3, signed=True)
        lines.append(_line([variant, _cell(values, "", 3), shown, _cell(last, "", 3)]))
    return "\n".join(lines)


def stability_table(results):
    """How training went, of all runs of a kind."""
    lines = [
        _line(
            ["", "runs", "ended well", "test bits/dim, mean and spread",
             "largest rise of validation bits/dim from the lowest before"]
        ),
        _line(["---"] * 5),
    ]  # fmt: skip
    for task, variant in (
        ("clothes", "joint"),
        ("colored_digits", "joint"),
        ("photographs", "joint"),
        ("digits", "as configured"),
    ):
        wanted = {"task": task, "method": "cinn", "variant": variant}
        runs = results.of(**wanted)
        values = [run["figures"]["bits_per_dim"] for run in runs]
        curves = [[e["val_bits_per_dim"] for e in run["history"]] for run in runs]
        rises = [max(v - min(c[: k + 1]) for k, v in enumerate(c)) for c in curves]
        lines.append(
            _line(
                [
                    task.replace("_", " "),
                    f"{results.planned(**wanted)}",
                    f"{len(runs)}",
                    _cell(values, "", 3),
                    f"{max(rises):.3f}" if rises else "",
                ]
            )  # fmt: skip
        )
    return "\n".join(lines)


def style_table(results):
    """How well styles are transferred between classes of clothes."""
    rows = {
        "transfer_accuracy": "transferred images that the classifier gives their new class",
        "transfer_accuracy_before": "the same images before, and their own class",
        "brightness_kept": "correlation of brightness before and after",
        "brightness_of_others": "with other images of the class",
        "contrast_kept": "correlation of contrast before and after",
        "contrast_of_others": "with other images of the class",
    }
    lines = [_line(["", "Fashion-MNIST"]), _line(["---"] * 2)]
    for figure, heading in rows.items():
        values = results.values(figure, task="clothes", stage="latent")
        lines.append(_line([heading, _cell(values, figure, 3)]))
    return "\n".join(lines)


def foreign_table(results):
    """How well foreign inputs are told from test images, by likelihood and by typicality."""
    lines = [
        _line(["", "", "AUROC of likelihood", "of typicality", "caught at 5 % false alarms"]),
        _line(["---"] * 5),
    ]
    for task in ("clothes", "colored_digits", "photographs"):
        runs = [run["foreign"] for run in results.of(task=task, stage="latent")]
        for name in runs[0] if runs else ():
            cells = [
                _cell([run[name][key] for run in runs if run[name].get(key) is not None], "", 2)
                for key in ("auroc_likelihood", "auroc_typicality", "caught")
            ]
            lines.append(_line([task.replace("_", " "), name, *cells]))
    return "\n".join(lines)


def time_table(pairs, stages):
    """How long the stages took."""
    lines = [_line(["stage", "", "jobs", "minutes of one core"]), _line(["---"] * 4)]
    total = [0, 0.0]
    for stage, meaning in stages.items():
        chosen = [result for job, result in pairs if job.stage == stage and result]
        minutes = sum(result["process_seconds"] for result in chosen) / 60
        total = [total[0] + len(chosen), total[1] + minutes]
        lines.append(_line([f"`{stage}`", meaning, str(len(chosen)), f"{minutes:.0f}"]))
    lines.append(_line(["", "", str(total[0]), f"{total[1]:.0f}"]))
    return "\n".join(lines)


def _fits(job, wanted):
    return all(getattr(job, name) == value for name, value in wanted.items())


def _listed(value):
    return [] if value is None else [value]


def _cell(values, figure, digits, signed=False):
    """Mean and spread, the standard deviation over seeds."""
    if not values:
        return ""
    values = [value * _FACTORS.get(figure, 1) for value in values]
    mean = statistics.fmean(values)
    if figure == "reconstruction" and mean < 1e-3:
        return f"{mean:.0e}"
    shown = f"{mean:{'+' if signed else ''}.{digits}f}"
    if len(values) < 2 or figure == "weights":
        return shown
    return f"{shown} ± {statistics.stdev(values):.{digits}f}"


def _line(cells):
    return f"| {' | '.join(cells)} |"
