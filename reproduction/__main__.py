"""Runs what the paper found with our own means, and writes the report's tables and pictures.

python -m reproduction --output=runs/reproduction

trains every model of docs/reproduction.md three times, one process a core, measures them, and
writes a copy of that report with the numbers and pictures of this machine. What is done stays done:
started again, it goes on with what is left. --list shows all jobs and how long they take.
"""

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
    from reproduction import pool, report, tasks
    from reproduction.jobs import STAGES, jobs

    # Absolute, as some jobs name files to others.
    folder = pathlib.Path(_OUTPUT.value).absolute()
    tasks.SOURCES |= {"data__idx_dir": _FASHION_MNIST.value, "data__folder": _PHOTOS.value}
    everything = jobs(_SCALE.value, _FAST.value)
    stages = _STAGES.value or [*STAGES]
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise UsageError(f"--stages: expected some of {', '.join(STAGES)}, got {unknown[0]!r}")
    chosen = [job for job in everything if job.stage in stages]
    if _LIST.value:
        for job in chosen:
            print(f"{job.stage:16} {job.name:38} {job.minutes:5.1f}")
        print(f"in all {sum(job.minutes for job in chosen):.0f} minutes of one core")
        return
    for part in ("results", "workdirs", "pictures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    if _JOB.value:
        _run(next(job for job in everything if job.name == _JOB.value), folder)
        return
    try:
        if not _REBUILD.value:
            _check_needs(chosen, everything, folder)
            arguments = [f"--output={folder}", f"--scale={_SCALE.value}", f"--fast={_FAST.value}"]
            arguments += [f"--photos={_PHOTOS.value}", f"--fashion_mnist={_FASHION_MNIST.value}"]
            at_once = _AT_ONCE.value or len(os.sched_getaffinity(0))
            pool.run(chosen, folder, at_once, arguments)
    finally:
        report.write(everything, folder, _REPORT.value or folder / "report.md")


def _run(job, folder):
    from reproduction import latent, pool, runs
    from tfp_cinn import files

    module = latent if job.action == "latent" else runs
    result = getattr(module, job.action)(job, folder, _FAST.value)
    with files.writing(pool.result_path(folder, job.name)) as scratch:
        result = {"job": pool.definition(job), "process_seconds": time.process_time()} | result
        scratch.write_text(json.dumps(result, indent=1) + "\n")


def _check_needs(chosen, everything, folder):
    """Raise a UsageError if data are missing, or what the stages chosen build on."""
    from reproduction import pool
    from reproduction.tasks import TASKS

    others = {job.name: job for job in everything if job not in chosen}
    for job in chosen:
        for need in others.keys() & job.needs:
            if not pool.load_result(folder, others[need]):
                stage = others[need].stage
                raise UsageError(f"--stages: {job.name} needs {need}; add {stage}")
    for task in {job.task for job in chosen}:
        _ = TASKS[task](folder).problem  # says what is missing, before hours are spent


if __name__ == "__main__":
    app.run(main)
