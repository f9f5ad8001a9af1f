import dataclasses
import json
import re
import sys

import numpy as np
import pytest

from reproduction import pool, report, tables
from reproduction.jobs import STAGES, Job, jobs
from tfp_cinn import UsageError

JOB = Job("one", "clothes", "flow", "clothes", 1.0, "cinn", "joint", 0)


@pytest.mark.parametrize("fast", [False, True])
def test_jobs_have_names_of_their_own_and_stand_after_what_they_need(fast):
    seen = set()
    for job in jobs(fast=fast):
        assert job.name not in seen
        assert job.stage in STAGES
        assert set(job.needs) <= seen
        if job.action == "baseline":  # trains as long as the flow of its seed
            assert job.needs[-1] == f"{job.task}-cinn-{job.seed}"
        seen.add(job.name)
    assert sum(job.minutes for job in jobs(fast=fast)) / 2 < (15 if fast else 8 * 60)


def stored(folder, job, **result):
    path = pool.result_path(folder, job.name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"job": pool.definition(job), "process_seconds": 60.0} | result))


def test_a_result_counts_only_for_the_job_as_it_is_defined_now(tmp_path):
    stored(tmp_path, JOB, figures={"bits_per_dim": 1.0})
    assert pool.load_result(tmp_path, JOB)["figures"] == {"bits_per_dim": 1.0}
    other_length = dataclasses.replace(JOB, fields={"train__epochs": 3})
    assert pool.load_result(tmp_path, other_length) is None
    assert pool.load_result(tmp_path, dataclasses.replace(JOB, minutes=9.0))
    pool.result_path(tmp_path, JOB.name).write_text("{")
    assert pool.load_result(tmp_path, JOB) is None


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
(folder / "results" / f"{name}.json").write_text(json.dumps({"job": definitions[name]}))
"""


def test_jobs_run_once_after_what_they_need_and_a_failure_stops_no_other(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    needs = {"a": (), "b": ("a",), "c": ("b",), "bad": (), "after": ("bad",), "d": ("c",)}
    chosen = [dataclasses.replace(JOB, name=name, needs=need) for name, need in needs.items()]
    definitions = {job.name: pool.definition(job) for job in chosen}
    (tmp_path / "definitions.json").write_text(json.dumps(definitions))
    monkeypatch.setattr(pool, "COMMAND", [sys.executable, str(program)])
    pool.run(chosen[:2], tmp_path, 2, [f"--output={tmp_path}"])
    with pytest.raises(UsageError, match="2 jobs failed or need one that did: bad, after; .*logs"):
        pool.run(chosen, tmp_path, 2, [f"--output={tmp_path}"])
    order = (tmp_path / "order").read_text().split()
    assert [name for name in order if name != "bad"] == ["a", "b", "c", "d"]
    assert order.count("bad") == 1
    assert (tmp_path / "logs" / "bad.log").read_text() == "no luck\n"


def test_a_table_has_mean_and_spread_over_seeds():
    result = {"figures_cooler": {"coverage": 0.4}, "sample_ms": 2.0}
    pairs = [
        (
            dataclasses.replace(JOB, name=f"r{seed}", seed=seed),
            result | {"figures": {"bits_per_dim": 5 + seed, "coverage": 0.5}},
        )
        for seed in range(3)
    ]
    real = Job("real", "clothes", "reference", "clothes", 1)
    pairs.append((real, {"rows": {"data": {"coverage": 0.97}}}))
    pairs.append((Job("gone", "clothes", "baseline", "clothes", 1, "gan"), None))
    table = tables.methods_table(tables.frame_of(pairs), "clothes", ("gan",))
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
    table = tables.ablation_table(tables.frame_of(pairs), variants)
    assert re.search(r"no noise \| 2.000 ± 0.707 \| \+0.500 ± 0.000 \| 1.000", table)


@pytest.fixture
def filled(tmp_path):
    """Results and pictures of every job of the fast variant, made up."""
    rng = np.random.default_rng(0)
    entry = {"seconds": 1, "val_bits_per_dim": 5.0, "bits_per_dim": 5.0}
    losses = {"generator": 1.0, "discriminator": 2.0}
    history = [{"epoch": epoch} | entry | losses for epoch in range(3)]
    for job in jobs(fast=True):
        names = ("bits_per_dim", "coverage", "accuracy", "pixel_variance", "best_of_8")
        row = dict.fromkeys(names, 0.5)
        foreign = {"black": {"auroc_likelihood": 0.1, "auroc_typicality": 0.9, "caught": 0.4}}
        rows = {"rows": {"data": row}} if job.action == "reference" else {"history": history}
        stored(tmp_path, job, figures=row, foreign=foreign, **rows)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("reference", "cinn-0"):
        x = np.uint8(rng.integers(0, 255, (10, 8, 28, 28, 1)))
        np.savez(pictures / f"clothes-{name}.npz", x=x)
    for name in ("cinn-0", "vae-0"):
        x, gray = (
            np.uint8(rng.integers(0, 255, (10, *s, 8, 8, c))) for s, c in (((8,), 3), ((), 1))
        )
        np.savez(pictures / f"colored_digits-{name}.npz", x=x, gray=gray)
        ab = np.float32(rng.normal(0, 20, (18, 8, 32, 32, 2)))
        lightness = np.float32(rng.uniform(0, 100, (18, 32, 32, 1)))
        np.savez(pictures / f"photographs-{name}.npz", ab=ab, true_ab=ab[:, 0], L=lightness)
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
    # Pictures of photographs stay out of it.
    pictures = {picture.name for picture in (path.parent / "images").iterdir()}
    assert {"reproduction_clothes.png", "reproduction_colored_digits.png"} <= pictures
    assert not any("photo" in name for name in pictures)
    assert (filled / "pictures" / "photographs.png").exists()
