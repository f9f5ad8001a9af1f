"""Training runs in processes of their own, which can be killed."""

import contextlib
import multiprocessing
import os
import pathlib
import signal
import sys

# TensorFlow is imported once, in a process that doesn't use it and of which the runs are forks.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.helpers.child", "tfp_cinn.training"])


def small_config():
    """A run of two epochs of ten steps, with noise in the network."""
    from tfp_cinn.training import default_config

    config = default_config()
    config.data.name = "digits"
    config.data.num_validation = 150
    config.model.update({"blocks": 2, "hidden": (16,), "act_norm": True, "dropout": 0.2})
    config.train.update({"epochs": 2, "batch_size": 128, "milestones": (1,)})
    return config


def start(config, workdir, fault=None, output=None):
    """Starts a run, its output in `log` beside it; `fault` is called in its process before it."""
    output = pathlib.Path(output or pathlib.Path(workdir).parent) / "log"
    output.write_text("")
    arguments = config.to_dict(), str(workdir), fault, str(output)
    process = _CONTEXT.Process(target=_train, args=arguments)
    process.start()
    return process


def finish(config, workdir, fault=None, output=None):
    """Runs to the end; returns the exit status, the signal's number negated, and the output."""
    process = start(config, workdir, fault, output)
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode, log(output or pathlib.Path(workdir).parent)


def log(folder):
    return (pathlib.Path(folder) / "log").read_text()


def _train(config, workdir, fault, output):
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from tfp_cinn import UsageError
    from tfp_cinn.training import train

    if fault is not None:
        fault()
    try:
        train(config, workdir)
    except UsageError as error:
        print(error, file=sys.stderr)
        os._exit(2)


class KillAtStep:
    """SIGKILL after a step of this process, before anything learns of it."""

    def __init__(self, step):
        self.step = step

    def __call__(self):
        from tfp_cinn.model import CINN

        steps, fit = iter(range(1, self.step + 1)), CINN.fit

        def fit_and_die(model, *args, callbacks, **kwargs):
            import keras

            def die(batch, logs):
                if next(steps) == self.step:
                    os.kill(os.getpid(), signal.SIGKILL)

            killer = keras.callbacks.LambdaCallback(on_train_batch_end=die)
            return fit(model, *args, callbacks=[killer, *callbacks], **kwargs)

        CINN.fit = fit_and_die


class FillDiskAtStep:
    """Fills the disk after a step of this process."""

    def __init__(self, step, filler):
        self.step, self.filler = step, filler

    def __call__(self):
        from tfp_cinn.training.position import Position

        count, steps = Position.on_train_batch_end, iter(range(1, 1 << 30))

        def count_and_fill(position, batch, logs=None):
            count(position, batch, logs)
            if next(steps) == self.step:
                with contextlib.suppress(OSError), open(self.filler, "wb", buffering=0) as file:
                    while True:
                        file.write(bytes(1 << 12))

        Position.on_train_batch_end = count_and_fill


class KillInWrite:
    """SIGKILL while a file is being written: after most of it, or just before it gets its name."""

    def __init__(self, name, which, moment):
        self.name, self.which, self.moment = name, which, moment

    def __call__(self):
        from tfp_cinn import files

        seen, replace, write_through = [], os.replace, files.write_through

        def die_if(scratch):
            if str(scratch).endswith(self.name) or self.name in str(scratch):
                seen.append(scratch)
                if len(seen) == self.which:
                    if self.moment == "half":
                        os.truncate(scratch, os.path.getsize(scratch) // 2)
                    os.kill(os.getpid(), signal.SIGKILL)

        if self.moment == "half":

            def dying_write_through(place):
                if os.path.isfile(place):
                    die_if(place)
                write_through(place)

            files.write_through = dying_write_through
        else:

            def dying_replace(scratch, target):
                die_if(scratch)
                replace(scratch, target)

            os.replace = dying_replace
