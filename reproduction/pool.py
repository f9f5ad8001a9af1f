"""Jobs in processes of their own, as many at once as there are cores."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import tqdm

from tfp_cinn.errors import UsageError

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
    """What a result depends on, as JSON gives it back."""
    fields = dataclasses.asdict(job)
    for name in ("minutes", "seconds", "needs"):
        del fields[name]
    return json.loads(json.dumps(fields))


def result_path(folder, job):
    return pathlib.Path(folder, "results", f"{job.name}.json")


def load_result(folder, job):
    """The result of a job as it is defined now; None if there is none."""
    try:
        result = json.loads(result_path(folder, job).read_text())
    except (OSError, ValueError):
        return None
    return result if result.get("job") == definition(job) else None


def run(jobs, folder, at_once, arguments):
    """Runs all jobs that have no result yet.

    Args:
        jobs: a job's needs stand before it, unless their results are there already.
        folder: for results, logs and what jobs leave for each other.
        at_once: how many processes.
        arguments: flags of the running program that its jobs are given.

    Raises:
        UsageError: if jobs failed; those that don't need them were run.
    """
    names = {job.name for job in jobs}
    done = {job.name for job in jobs if load_result(folder, job)}
    waiting = [job for job in jobs if job.name not in done]
    if done:
        print(f"{len(done)} of {len(jobs)} jobs are done already", flush=True)
    running, failed = {}, []
    left = sum(job.minutes for job in waiting)
    speed, begun = _Speed(), time.monotonic()
    bar = tqdm.tqdm(
        total=round(left, 1), unit="min", disable=None, smoothing=0,
        bar_format="{percentage:3.0f} % |{bar}| {postfix}",
    )  # fmt: skip
    try:
        while waiting or running:
            for job in [*waiting]:
                missing = [n for n in job.needs if n in names and n not in done]
                if any(name in failed for name in missing):
                    waiting.remove(job)
                    failed.append(job.name)
                elif not missing and len(running) < at_once:
                    waiting.remove(job)
                    running[job.name] = job, _start(job, folder, arguments), time.monotonic()
            time.sleep(0.2)
            bar.set_postfix_str(_now(running, folder, speed.left(left) / at_once))
            for name, (job, process, start) in [*running.items()]:
                if process.poll() is None:
                    continue
                del running[name]
                left -= job.minutes
                bar.update(job.minutes)
                minutes = (time.monotonic() - start) / 60
                if process.returncode or not load_result(folder, job):
                    failed.append(name)
                    bar.write(f"{name}: failed; see {_log(folder, job)}")
                    continue
                speed.add(job.minutes, minutes)
                done.add(name)
                bar.write(
                    f"[{len(done)}/{len(jobs)}] {name}: {minutes:.1f} min; all that is left: about "
                    f"{speed.left(left) / at_once:.0f} min"
                )
                sys.stdout.flush()
    finally:
        bar.close()
        for _, process, _ in running.values():
            process.send_signal(signal.SIGTERM)
        for _, process, _ in running.values():
            process.wait()
    print(f"{len(done)} jobs done, {(time.monotonic() - begun) / 60:.1f} min")
    if failed:
        raise UsageError(
            f"{len(failed)} jobs failed or lack one that did: {', '.join(failed)}; their logs are "
            f"in {pathlib.Path(folder, 'logs')}; put right what they say, and the same command "
            "runs what is left"
        )


class _Speed:
    """How long jobs take here, compared with what is written of them."""

    def __init__(self):
        self._stated = self._taken = 0.0

    def add(self, stated, taken):
        self._stated += stated
        self._taken += taken

    def left(self, minutes):
        return minutes * (self._taken / self._stated if self._stated else 1.0)


def _start(job, folder, arguments):
    log = _log(folder, job)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [*COMMAND, f"--job={job.name}", *arguments]
    with log.open("w") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **_ENVIRONMENT}
        )


def _log(folder, job):
    return pathlib.Path(folder, "logs", f"{job.name}.log")


def _now(running, folder, left):
    """The jobs that run, and the last thing that each says."""
    shown = []
    for name, (job, _, _) in running.items():
        try:
            with _log(folder, job).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - 400))
                lines = re.split(rb"[\r\n]+", file.read().strip())
        except OSError:
            lines = [b""]
        shown.append(f"{name} ({lines[-1].decode(errors='replace').strip()[:24]})")
    return f"{left:.0f} min left; " + ", ".join(shown)
