"""Training runs in processes of their own, which can be killed."""

import multiprocessing
import os
import signal
import sys

# TensorFlow is imported once, in a process that doesn't use it and of which the runs are forks.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["child", "tfp_cinn.training"])


def start(config, workdir, fault=None):
    """Starts a run, its output in `WORKDIR.log`; `fault` is called in its process before it."""
    process = _CONTEXT.Process(target=_train, args=(config.to_dict(), str(workdir), fault))
    process.start()
    return process


def finish(config, workdir, fault=None):
    """Runs to the end; returns the exit status, the signal's number negated, and the output."""
    process = start(config, workdir, fault)
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode, log(workdir)


def log(workdir):
    with open(f"{workdir}.log") as file:
        return file.read()


def _train(config, workdir, fault):
    descriptor = os.open(f"{workdir}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
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
