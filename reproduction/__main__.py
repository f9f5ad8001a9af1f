"""Runs what the paper found with our own means, and writes the report's tables and pictures.

python -m reproduction --output=runs/reproduction

trains every model of docs/reproduction.md three times, one process a core, measures them, and
writes a copy of that report with the numbers and pictures of this machine. What is done stays done:
started again, it goes on with what is left. --list shows all jobs and how long they take.
"""

import dataclasses
import json
import os
import pathlib
import time

from absl import flags

from tfp_cinn.cli import app
from tfp_cinn.errors import UsageError

_OUTPUT = flags.DEFINE_string("output", "runs/reproduction", "Folder for everything.")
_FASHION_MNIST = flags.DEFINE_string(
    "fashion_mnist", "/usr/share/datasets/fashion-mnist", "Folder with its four IDX files."
)
_PHOTOS = flags.DEFINE_string("photos", "photos", "Folder of tools/gather_photos.")
_STAGES = flags.DEFINE_list("stages", None, "Of these alone; see --list.")
_SCALE = flags.DEFINE_float("scale", 1.0, "Factor on all lengths of training.", lower_bound=0.01)
_FAST = flags.DEFINE_bool("fast", False, "Each kind of job once, a few steps: for trying.")
_AT_ONCE = flags.DEFINE_integer("at_once", None, "Processes; as cores if not given.", lower_bound=1)
_REPORT = flags.DEFINE_string(
    "report", None, "Where to put tables and pictures; OUTPUT/report.md if not given."
)
_REBUILD = flags.DEFINE_bool("rebuild", False, "Write the report of what is there, run nothing.")
_LIST = flags.DEFINE_bool("list", False, "Show the jobs, run none.")
_JOB = flags.DEFINE_string("job", None, "One job, in this process.")


def main(_):
    from reproduction import tasks
    from reproduction.jobs import STAGES, jobs

    tasks.SOURCES |= {"data__idx_dir": _FASHION_MNIST.value, "data__folder": _PHOTOS.value}
    everything = jobs(_SCALE.value, _FAST.value)
    stages = _STAGES.value or [*STAGES]
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise UsageError(f"--stages: expected some of {', '.join(STAGES)}, got {unknown[0]!r}")
    chosen = [job for job in everything if job.stage in stages]
    if _LIST.value:
        _list(STAGES, chosen)
    elif _JOB.value:
        _run(_JOB.value, everything)
    else:
        _run_all(chosen, everything)


def _run_all(chosen, everything):
    from reproduction import pool, report

    folder = _folder()
    if _REBUILD.value:
        report.write(everything, folder, _REPORT.value or folder / "report.md")
        return
    _check_needs(chosen, everything, folder)
    arguments = [f"--output={folder}", f"--scale={_SCALE.value}"]
    arguments += [f"--photos={_PHOTOS.value}", f"--fashion_mnist={_FASHION_MNIST.value}"]
    arguments += ["--fast"] if _FAST.value else []
    at_once = _AT_ONCE.value or len(os.sched_getaffinity(0))
    try:
        pool.run(chosen, folder, at_once, arguments)
    finally:
        report.write(everything, folder, _REPORT.value or folder / "report.md")


def _run(name, everything):
    from reproduction import latent, pool, runs
    from tfp_cinn import files

    job = next((job for job in everything if job.name == name), None)
    if job is None:
        raise UsageError(f"--job: no job is called {name!r}; --list shows them")
    folder = _folder()
    if job.seconds_of:
        other = next(other for other in everything if other.name == job.seconds_of)
        result = pool.load_result(folder, other)
        if result is None:
            raise UsageError(f"--job: {name} takes as long as {other.name}; run that first")
        job = dataclasses.replace(job, seconds=result["train_seconds"])
    actions = {
        action.__name__: action
        for action in (runs.judge, runs.reference, runs.features, runs.flow, runs.baseline)
    } | {"latent": latent.latent}
    for part in ("results", "workdirs", "pictures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    result = actions[job.action](job, folder, _FAST.value)
    path = pool.result_path(folder, job)
    with files.writing(path) as scratch:
        result = {"job": pool.definition(job), "process_seconds": time.process_time()} | result
        scratch.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def _folder():
    # Absolute, as some jobs name files to others.
    return pathlib.Path(_OUTPUT.value).absolute()


def _check_needs(chosen, everything, folder):
    """Raises a UsageError if data are missing, or what the stages chosen build on."""
    from reproduction import pool
    from reproduction.tasks import TASKS

    names = {job.name for job in chosen}
    for job in chosen:
        for need in set(job.needs) - names:
            other = next(other for other in everything if other.name == need)
            if not pool.load_result(folder, other):
                raise UsageError(f"--stages: {job.name} needs {need}; add {other.stage}")
    for task in sorted({job.task for job in chosen}):
        _ = TASKS[task](folder).experiment  # says what is missing, before hours are spent


def _list(stages, chosen):
    for stage, meaning in stages.items():
        of_stage = [job for job in chosen if job.stage == stage]
        if of_stage:
            minutes = sum(job.minutes for job in of_stage)
            print(f"{stage}: {meaning}; {len(of_stage)} jobs, {minutes:.0f} minutes of one core")
            for job in of_stage:
                print(f"  {job.name:38} {job.minutes:5.1f}")
    print(f"in all {sum(job.minutes for job in chosen):.0f} minutes of one core")


if __name__ == "__main__":
    app.run(main)
