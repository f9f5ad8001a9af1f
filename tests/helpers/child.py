"""Training runs in processes of their own, which can be killed."""

import multiprocessing
import os
import pathlib
import signal
import sys

# TensorFlow is imported once, in a process that doesn't use it and of which the runs are forks.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.helpers.child", "tfp_cinn.training"])


def small_config():
    """A run of two epochs of three steps, with noise in the network."""
    from tfp_cinn.training import default_config

    config = default_config()
    config.data.name = "digits"
    config.data.num_validation = 150
    config.model.update({"blocks": 2, "hidden": (16,), "act_norm": True, "dropout": 0.2})
    config.train.update({"epochs": 2, "batch_size": 128, "steps_per_epoch": 3, "milestones": (1,)})
    config.train.checkpoint_seconds = 0.0
    return config


def finish(config, workdir, fault=None, log=None):
    """Trains; `fault` is called before. Returns the exit status, a signal's negated, and output."""
    output = log or pathlib.Path(workdir).parent / "log"
    output.write_text("")
    arguments = config.to_dict(), str(workdir), fault, str(output)
    process = _CONTEXT.Process(target=_train, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode, output.read_text()


def _train(config, workdir, fault, output):
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from tfp_cinn import UsageError
    from tfp_cinn.training import train

    if fault is not None:
        fault()
    try:
        train(config, workdir)
    except UsageError as error:
        print(error, file=sys.stderr)
        os._exit(2)


def after_step(step, act):
    """Calls `act` after a step of this process, before anything learns of it."""
    from tfp_cinn.training.resumable import Resumable

    count, steps = Resumable.on_train_batch_end, iter(range(1, 1 << 30))

    def act_and_count(run, batch, logs=None):
        if next(steps) == step:
            act()
        count(run, batch, logs)

    Resumable.on_train_batch_end = act_and_count


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


class KillAtStep:
    """SIGKILL after a step."""

    def __init__(self, step):
        self.step = step

    def __call__(self):
        after_step(self.step, kill)


class KillInWrite:
    """SIGKILL while a file is written the `which`-th time: half written, or not yet renamed."""

    def __init__(self, name, which, half):
        self.name, self.which, self.half = name, which, half

    def __call__(self):
        replace, seen = os.replace, []

        def replace_or_die(scratch, target):
            if str(scratch).endswith(self.name):
                seen.append(scratch)
                if len(seen) == self.which:
                    if self.half:
                        os.truncate(scratch, os.path.getsize(scratch) // 2)
                    kill()
            replace(scratch, target)

        os.replace = replace_or_die
