"""What is run, in which order, and how long it takes."""

import dataclasses

SEEDS = (0, 1, 2)

STAGES = {
    "ablations": "digits: permutations, clamps, noise, weight prior",
    "clothes": "Fashion-MNIST given its class: cINN, VAE, GAN",
    "colored_digits": "the paper's color-MNIST on 8x8 digits: all methods; conditioners",
    "photographs": "colors of photographs: all methods",
    "latent": "latent space: pictures, style transfer, foreign inputs",
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One process.

    Attributes:
        name: unique; its result is `results/NAME.json`.
        stage: one of `STAGES`.
        action: a function of `runs`, or of `latent`.
        task: a key of `tasks.TASKS`.
        minutes: what it takes of one core, about, as it was measured at full length.
        method: "cinn", or a baseline's.
        variant: what differs from the task's config, by a short name.
        seed: of the run.
        fields: that difference.
        needs: jobs that have to be done before.
        measured: whether samples are measured, or likelihood alone.
        pretrained: the job that trained the conditioner.
        epochs: of a conditioner's.
        seconds_of: the job whose training time is this one's.
        seconds: that time, once it is known.
    """

    name: str
    stage: str
    action: str
    task: str
    minutes: float
    method: str = ""
    variant: str = ""
    seed: int = 0
    fields: dict = dataclasses.field(default_factory=dict)
    needs: tuple = ()
    measured: bool = True
    pretrained: str = ""
    epochs: int = 0
    seconds_of: str = ""
    seconds: float = 0.0


ABLATIONS = {
    "as configured": {},
    "hard permutations": {"model__permutation": "random"},
    "clamp 0.3": {"model__clamp": 0.3},
    "clamp 2": {"model__clamp": 2.0},
    "clamp 5": {"model__clamp": 5.0},
    "no noise": {"data__noise_std": 0.0},
    "no weight prior": {"model__weight_prior": 0.0},
    "no dropout": {"model__dropout": 0.0},
}

_METHODS = {
    "clothes": ("vae", "gan"),
    "colored_digits": ("vae", "gan", "regression"),
    "photographs": ("vae", "gan", "regression"),
}

# Minutes of one core: a cINN's training, measuring it, and a judge.
_MINUTES = {
    "clothes": (8.3, 0.6, 1.2),
    "colored_digits": (1.5, 0.3, 0.5),
    "photographs": (2.7, 0.4, 0.0),
}


def jobs(scale=1.0, fast=False):
    """All jobs.

    Args:
        scale: factor on all lengths of training.
        fast: whether to run each kind of job once, a few steps long: for trying, figures mean
            nothing.
    """
    seeds = SEEDS[:1] if fast else SEEDS
    ablations = list(ABLATIONS.items())
    found = []
    for variant, fields in ablations[:2] if fast else ablations:
        for seed in seeds:
            name = f"digits-{variant.replace(' ', '_')}-{seed}"
            found.append(
                Job(name, "ablations", "flow", "digits", 1.0, "cinn", variant, seed, fields,
                    measured=False)
            )  # fmt: skip
    for task, methods in _METHODS.items():
        found += _task_jobs(task, methods, seeds)
    found += [
        Job(
            f"{task}-latent-{seed}", "latent", "latent", task, 0.3 if seed else 0.7, seed=seed,
            needs=(*([] if task == "photographs" else [f"{task}-judge"]), f"{task}-cinn-{seed}"),
        )
        for task in _METHODS
        for seed in seeds
    ]  # fmt: skip
    return [_scaled(job, scale, fast) for job in found]


def _task_jobs(task, methods, seeds):
    train, measure, judge = _MINUTES[task]
    common = {"stage": task, "task": task}
    needs = ()
    if task != "photographs":
        yield Job(f"{task}-judge", action="judge", minutes=judge, **common)
        needs = (f"{task}-judge",)
    yield Job(f"{task}-reference", action="reference", minutes=0.5, needs=needs, **common)
    for seed in seeds:
        flow = f"{task}-cinn-{seed}"
        yield Job(
            flow, action="flow", minutes=train + measure, method="cinn", variant="joint", seed=seed,
            needs=needs, **common,
        )  # fmt: skip
        for method in methods:
            yield Job(
                f"{task}-{method}-{seed}", action="baseline", minutes=train + measure,
                method=method, seed=seed, needs=(*needs, flow), seconds_of=flow, **common,
            )  # fmt: skip
    if task != "colored_digits":
        return
    pretrained = f"{task}-conditioner"
    yield Job(pretrained, action="features", minutes=0.5, epochs=20, **common)
    for variant in ("frozen", "none"):
        for seed in seeds:
            frozen = variant == "frozen"
            yield Job(
                f"{task}-cinn_{variant}-{seed}", action="flow", minutes=train + measure,
                method="cinn", variant=variant, seed=seed,
                fields={"model__conditioner": variant},
                needs=(*needs, pretrained) if frozen else needs,
                pretrained=pretrained if frozen else "", **common,
            )  # fmt: skip


_EPOCHS = {
    "digits": (80, (60, 74)),
    "clothes": (12, (8, 11)),
    "colored_digits": (60, ()),
    "photographs": (24, (19,)),
}


def _scaled(job, scale, fast):
    if fast:
        job = dataclasses.replace(job, minutes=0.6)
    if job.action == "features":
        return dataclasses.replace(job, epochs=2 if fast else max(1, round(scale * job.epochs)))
    if job.action != "flow":
        return job
    epochs, milestones = _EPOCHS[job.task]
    if fast:
        length = {"train__epochs": 2, "train__steps_per_epoch": 20, "train__milestones": (1,)}
    else:
        length = {
            "train__epochs": max(1, round(scale * epochs)),
            "train__milestones": tuple(max(1, round(scale * each)) for each in milestones),
        }
        job = dataclasses.replace(job, minutes=job.minutes * scale)
    return dataclasses.replace(job, fields=length | job.fields)
