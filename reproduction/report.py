"""The report: docs/reproduction.md with tables and pictures of these results."""

import json
import pathlib
import re
import shutil

from PIL import Image

from reproduction import figures, pool, tables
from reproduction.jobs import ABLATIONS, METHODS, STAGES
from tfp_cinn import files

_TEMPLATE = pathlib.Path(__file__).parents[1] / "docs" / "reproduction.md"
# Pictures of the latent space that show no photograph.
_LATENT = {
    "clothes": ("transfer", "interpolation", "temperature", "walks", "likelihood", "foreign"),
    "colored_digits": ("transfer",),
}
_HISTORY = 6  # entries of a run's history that go into the summary


def write(jobs, folder, path):
    """Write the report, its pictures in `images/` beside it, and the numbers as JSON.

    Pictures that show photographs go into the folder's `pictures` alone.

    Args:
        jobs: all jobs; those without a result are left out.
        folder: of the results.
        path: the report to write. Its text is the present one, or that of docs/reproduction.md;
            between `<!-- table NAME -->` and `<!-- end -->` the table is put.
    """
    path = pathlib.Path(path)
    pairs = [(job, pool.load_result(folder, job)) for job in jobs]
    frame = tables.frame_of(pairs)
    made = {task: tables.methods_table(frame, task, methods) for task, methods in METHODS.items()}
    made |= {
        "conditioners": tables.conditioner_table(frame),
        "ablations": tables.ablation_table(frame, ABLATIONS),
        "style": tables.style_table(frame),
        "foreign": tables.foreign_table(frame),
        "stability": tables.stability_table(frame),
        "time": tables.time_table(frame, STAGES),
    }
    text = (path if path.exists() else _TEMPLATE).read_text()
    for name, table in made.items():
        text = re.sub(
            rf"(<!-- table {name} -->\n).*?(<!-- end -->)",
            lambda match, table=table: f"{match[1]}{table}\n{match[2]}",
            text,
            flags=re.DOTALL,
        )
    images = path.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    figures.clothes_samples(folder, images / "reproduction_clothes.png")
    figures.colored_digits(folder, images / "reproduction_colored_digits.png")
    figures.photographs(folder, images / "reproduction_colors.png", lightness=False)
    figures.photographs(folder, pathlib.Path(folder, "pictures", "photographs.png"), lightness=True)
    figures.modes(frame, images / "reproduction_modes.png")
    figures.curves(frame, images / "reproduction_curves.png")
    figures.conditioners(frame, images / "reproduction_conditioners.png")
    figures.scales(folder, images / "reproduction_scales.png")
    for task, tools in _LATENT.items():
        for tool in tools:
            drawn = pathlib.Path(folder, "pictures", "latent", f"{task}-0", f"{tool}.png")
            if drawn.exists():
                shutil.copyfile(drawn, images / f"reproduction_{task}_{tool}.png")
    figures.ablations(frame, ABLATIONS, images / "reproduction_ablations.png")
    for drawn in images.glob("reproduction_*.png"):
        # 256 colors do, in a third of the bytes.
        with Image.open(drawn) as image:
            small = image.convert("RGB").quantize(
                256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
            )
        small.save(drawn, optimize=True)
    summary = {job.name: _short(result) for job, result in pairs if result}
    with files.writing(path.with_suffix(".json")) as scratch:
        lines = (f"{json.dumps(name)}: {json.dumps(each)}" for name, each in summary.items())
        scratch.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    with files.writing(path) as scratch:
        scratch.write_text(text)
    print(f"{path}: {len(summary)} of {len(jobs)} results")


def _short(result):
    short = {key: value for key, value in result.items() if key not in ("job", "history")}
    history = result.get("history", [])
    step = max(1, len(history) // _HISTORY)
    return short | ({"history": history[step - 1 :: step]} if history else {})
