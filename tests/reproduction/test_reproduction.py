import dataclasses
import json
import re
import sys

import numpy as np
import pytest

from reproduction import figures, pool, report, tables
from reproduction.jobs import ABLATIONS, STAGES, Job, jobs
from tfp_cinn import UsageError


@pytest.fixture
def job():
    return Job("one", "clothes", "flow", "clothes", 1.0, "cinn", "joint", 0)


@pytest.mark.parametrize("fast", [False, True])
def test_jobs_have_names_of_their_own_and_stand_after_what_they_need(fast):
    seen = set()
    for job in jobs(fast=fast):
        assert job.name not in seen
        assert job.stage in STAGES
        assert set(job.needs) <= seen
        assert job.seconds_of in (*seen, "")
        seen.add(job.name)


def test_every_method_is_run_for_every_seed_and_as_long_as_the_flow_of_its_seed():
    everything = {job.name: job for job in jobs()}
    for task in ("clothes", "colored_digits", "photographs"):
        for seed in range(3):
            assert everything[f"{task}-vae-{seed}"].seconds_of == f"{task}-cinn-{seed}"
            assert everything[f"{task}-gan-{seed}"].seed == seed
    assert sum(job.minutes for job in everything.values()) / 2 < 8 * 60
    assert sum(job.minutes for job in jobs(fast=True)) / 2 < 15


def test_scale_changes_lengths_of_training_and_nothing_else():
    for plain, longer in zip(jobs(), jobs(scale=3), strict=True):
        if plain.action == "flow":
            epochs = longer.fields["train__epochs"], plain.fields["train__epochs"]
            assert epochs[0] == 3 * epochs[1]
        rest = {"fields": {}, "minutes": 0, "epochs": 0}
        assert dataclasses.replace(plain, **rest) == dataclasses.replace(longer, **rest)


def stored(folder, job, **result):
    path = pool.result_path(folder, job)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"job": pool.definition(job), "process_seconds": 60.0} | result))


def test_a_result_counts_only_for_the_job_as_it_is_defined_now(tmp_path, job):
    stored(tmp_path, job, figures={"bits_per_dim": 1.0})
    assert pool.load_result(tmp_path, job)["figures"] == {"bits_per_dim": 1.0}
    other_length = dataclasses.replace(job, fields={"train__epochs": 3})
    assert pool.load_result(tmp_path, other_length) is None
    assert pool.load_result(tmp_path, dataclasses.replace(job, minutes=9.0))
    pool.result_path(tmp_path, job).write_text("{")
    assert pool.load_result(tmp_path, job) is None


# Stands in for reproduction: writes the result of a job, unless its name says "bad".
_PROGRAM = """
import json, pathlib, sys
name = sys.argv[1].removeprefix("--job=")
folder = pathlib.Path(sys.argv[2].removeprefix("--output="))
with open(folder / "order", "a") as file:
    file.write(name + "\\n")
if "bad" in name:
    sys.exit("no luck")
definitions = json.loads((folder / "definitions.json").read_text())
(folder / "results").mkdir(exist_ok=True)
(folder / "results" / f"{name}.json").write_text(json.dumps({"job": definitions[name]}))
"""


def run(tmp_path, monkeypatch, chosen):
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    definitions = {job.name: pool.definition(job) for job in chosen}
    (tmp_path / "definitions.json").write_text(json.dumps(definitions))
    monkeypatch.setattr(pool, "COMMAND", [sys.executable, str(program)])
    pool.run(chosen, tmp_path, 2, [f"--output={tmp_path}"])


def named(job, name, *needs):
    return dataclasses.replace(job, name=name, needs=needs)


def test_jobs_run_once_and_after_what_they_need(tmp_path, monkeypatch, job, capsys):
    chosen = [named(job, "a"), named(job, "b", "a"), named(job, "c", "b")]
    run(tmp_path, monkeypatch, chosen)
    assert (tmp_path / "order").read_text().split() == ["a", "b", "c"]
    run(tmp_path, monkeypatch, [*chosen, named(job, "d", "c")])
    assert (tmp_path / "order").read_text().split() == ["a", "b", "c", "d"]
    assert "3 of 4 jobs are done already" in capsys.readouterr().out


def test_a_job_that_fails_takes_those_that_need_it_along_and_no_other(tmp_path, monkeypatch, job):
    chosen = [named(job, "bad"), named(job, "after", "bad"), named(job, "other")]
    with pytest.raises(UsageError, match="2 jobs failed or lack one that did: .*after.*logs"):
        run(tmp_path, monkeypatch, chosen)
    assert sorted((tmp_path / "order").read_text().split()) == ["bad", "other"]
    assert (tmp_path / "logs" / "bad.log").read_text() == "no luck\n"


def test_a_table_has_mean_and_spread_over_seeds():
    runs = [Job(f"r{s}", "clothes", "flow", "clothes", 1, "cinn", "joint", s) for s in range(3)]
    real = Job("real", "clothes", "reference", "clothes", 1)
    pairs = [
        *(
            (
                job,
                {
                    "figures": {"bits_per_dim": 5 + job.seed, "coverage": 0.5},
                    "figures_cooler": {"coverage": 0.4},
                    "sample_ms": 2.0,
                },
            )
            for job in runs
        ),
        (real, {"rows": {"data": {"coverage": 0.97}}}),
        (Job("gone", "clothes", "baseline", "clothes", 1, "gan"), None),
    ]
    table = tables.methods_table(tables.Results(pairs), "clothes", ("gan",))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert rows[0] == ["", "real data", "cINN", "cINN at T = 0.8", "GAN"]
    assert ["bits/dim", "", "6.000 ± 1.000", "", ""] in rows
    assert ["coverage", "0.970", "0.500 ± 0.000", "0.400 ± 0.000", ""] in rows
    assert ["a sample, ms of one core", "", "2.00 ± 0.00", "", ""] in rows


def test_ablations_are_compared_seed_by_seed():
    def runs(variant, values):
        for seed, value in enumerate(values):
            job = Job(f"{variant}{seed}", "ablations", "flow", "digits", 1, "cinn", variant, seed)
            history = [{"bits_per_dim": value - 1, "val_bits_per_dim": value, "epoch": 1}]
            yield job, {"figures": {"bits_per_dim": value}, "history": history}

    variants = ("as configured", "no noise")
    pairs = [*runs(variants[0], [1.0, 2.0]), *runs(variants[1], [1.5, 2.5])]
    table = tables.ablation_table(tables.Results(pairs), variants)
    assert re.search(r"no noise \| 2.000 ± 0.707 \| \+0.500 ± 0.000 \| 1.000", table)


@pytest.fixture
def filled(tmp_path):
    """Results and pictures of every job of the fast variant, made up."""
    rng = np.random.default_rng(0)
    for job in jobs(fast=True):
        names = ("bits_per_dim", "coverage", "accuracy", "pixel_variance", "best_of_8")
        history = [
            {"epoch": e, "seconds": e, "val_bits_per_dim": 5.0, "bits_per_dim": 5.0,
             "generator": 1.0, "discriminator": 2.0}
            for e in range(3)
        ]  # fmt: skip
        row = dict.fromkeys(names, 0.5)
        foreign = {"black": {"auroc_likelihood": 0.1, "auroc_typicality": 0.9, "caught": 0.4}}
        stored(tmp_path, job, figures=row, rows={"data": row}, history=history, foreign=foreign)
    (tmp_path / "pictures").mkdir()
    for name, shape in {
        "clothes-reference": (10, 8, 28, 28, 1),
        "clothes-cinn-0": (10, 8, 28, 28, 1),
        "colored_digits-cinn-0": (10, 8, 8, 8, 3),
        "colored_digits-vae-0": (10, 8, 8, 8, 3),
    }.items():
        arrays = {"x": np.uint8(rng.integers(0, 255, shape))}
        if "colored" in name:
            arrays["gray"] = np.uint8(rng.integers(0, 255, (10, 8, 8, 1)))
        np.savez(tmp_path / "pictures" / f"{name}.npz", **arrays)
    for name in ("cinn", "vae"):
        ab = np.float32(rng.normal(0, 20, (18, 8, 32, 32, 2)))
        lightness = np.float32(rng.uniform(0, 100, (18, 32, 32, 1)))
        np.savez(
            tmp_path / "pictures" / f"photographs-{name}-0.npz",
            ab=ab, true_ab=ab[:, 0], L=lightness,
        )  # fmt: skip
    return tmp_path


def test_the_report_fills_its_tables_and_keeps_its_words(filled):
    path = filled / "out" / "page.md"
    path.parent.mkdir()
    path.write_text("before\n<!-- table clothes -->\nold\n<!-- end -->\nafter\n")
    report.write(jobs(fast=True), filled, path)
    text = path.read_text()
    assert text.startswith("before\n<!-- table clothes -->\n|")
    assert text.endswith("|\n<!-- end -->\nafter\n")
    assert "old" not in text
    assert "| coverage | 0.500 | 0.500 |" in text
    summary = json.loads(path.with_suffix(".json").read_text())
    assert summary.keys() == {job.name for job in jobs(fast=True)}
    again = path.read_bytes()
    report.write(jobs(fast=True), filled, path)
    assert path.read_bytes() == again


def test_pictures_of_photographs_stay_out_of_the_report(filled):
    report.write(jobs(fast=True), filled, filled / "report.md")
    pictures = {path.name for path in (filled / "images").iterdir()}
    assert {"reproduction_clothes.png", "reproduction_colored_digits.png"} <= pictures
    assert not any("photo" in name for name in pictures)
    assert (filled / "pictures" / "photographs.png").exists()


def test_no_results_make_an_empty_report_rather_than_none(tmp_path):
    report.write(jobs(), tmp_path, tmp_path / "report.md")
    assert (
        "<!-- table clothes -->\n|  | cINN | cINN at T = 0.8 | VAE | GAN |"
        in (tmp_path / "report.md").read_text()
    )
    figures.ablations(tables.Results([]), ABLATIONS, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
