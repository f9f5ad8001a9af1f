"""Jobs in processes of their own, as many at once as there are cores."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import tqdm

from tfp_cinn.errors import UsageError

_BAR = "{percentage:3.0f} % |{bar}| {elapsed} passed, {remaining} left"
COMMAND = [sys.executable, "-m", "reproduction"]

# One thread each, so that seconds of CPU time compare between methods.
_ENVIRONMENT = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONUNBUFFERED": "1",
}


def definition(job):
    """Return what a result depends on, as JSON gives it back."""
    fields = dataclasses.asdict(job)
    del fields["minutes"], fields["needs"]
    return json.loads(json.dumps(fields))


def result_path(folder, name):
    return pathlib.Path(folder, "results", f"{name}.json")


def load_result(folder, job):
    """Return the result of a job as it is defined now; None if there is none."""
    try:
        result = json.loads(result_path(folder, job.name).read_text())
    except (OSError, ValueError):
        return None
    return result if result.get("job") == definition(job) else None


def run(jobs, folder, at_once, arguments):
    """Run all jobs that have no result yet.

    Args:
        jobs: a job's needs stand before it, unless their results are there already.
        folder: for results, logs and what jobs leave for each other.
        at_once: how many processes.
        arguments: flags of the running program that its jobs are given.

    Raises:
        UsageError: if jobs failed; those that don't need them were run.
    """
    logs = pathlib.Path(folder, "logs")
    logs.mkdir(parents=True, exist_ok=True)
    waiting = [job for job in jobs if not load_result(folder, job)]
    print(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs are done already", flush=True)
    futures = {}

    def succeeds(job):
        # What a job needs was submitted before it, so whoever waits here waits for a running job.
        if not all(futures[need].result() for need in job.needs if need in futures):
            return False
        command = [*COMMAND, f"--job={job.name}", *arguments]
        with (logs / f"{job.name}.log").open("w") as log:
            subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **_ENVIRONMENT}
            )
        return load_result(folder, job) is not None

    pool = concurrent.futures.ThreadPoolExecutor(at_once)
    minutes = round(sum(job.minutes for job in waiting), 1)
    try:
        for job in waiting:
            futures[job.name] = pool.submit(succeeds, job)
        jobs_of = dict(zip(futures.values(), waiting, strict=True))
        with tqdm.tqdm(total=minutes, smoothing=0, file=sys.stdout, bar_format=_BAR) as bar:
            for future in concurrent.futures.as_completed(jobs_of):
                job = jobs_of[future]
                bar.write(f"{job.name}: {'done' if future.result() else 'failed'}")
                bar.update(job.minutes)
    finally:
        pool.shutdown(cancel_futures=True)
    failed = [name for name, future in futures.items() if not future.result()]
    if failed:
        raise UsageError(
            f"{len(failed)} jobs failed or need one that did: {', '.join(failed)}; their logs are "
            f"in {logs}; the same command runs what is left"
        )
