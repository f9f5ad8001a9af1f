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
        needs: jobs that have to be done before. A baseline trains as long as the last of them.
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

METHODS = {
    "clothes": ("vae", "gan"),
    "colored_digits": ("vae", "gan", "regression"),
    "photographs": ("vae", "gan", "regression"),
}

# Minutes of one core: training a method and measuring it, and a judge.
_MINUTES = {"clothes": (8.9, 1.2), "colored_digits": (1.8, 0.5), "photographs": (3.1, 0.0)}

_EPOCHS = {
    "digits": (80, (60, 74)),
    "clothes": (12, (8, 11)),
    "colored_digits": (60, ()),
    "photographs": (24, (19,)),
}
_CONDITIONER_EPOCHS = 20


def jobs(scale=1.0, fast=False):
    """Return all jobs, each after those that it needs.

    Args:
        scale: factor on all lengths of training.
        fast: whether to run each kind of job once, a few steps long: for trying, figures mean
            nothing.
    """
    seeds = SEEDS[:1] if fast else SEEDS
    variants = list(ABLATIONS.items())[: 2 if fast else None]
    found = [
        _flow("digits", seed, 1.0, variant=variant, stage="ablations", fields=fields)
        for variant, fields in variants
        for seed in seeds
    ]
    for task in METHODS:
        found += _of_task(task, seeds)
    for task in METHODS:
        judge = () if task == "photographs" else (f"{task}-judge",)
        for seed in seeds:
            needs = (*judge, f"{task}-cinn-{seed}")
            minutes = 0.3 if seed else 0.7
            found.append(
                Job(f"{task}-latent-{seed}", "latent", "latent", task, minutes, seed=seed,
                    needs=needs)
            )  # fmt: skip
    return [_scaled(job, scale, fast) for job in found]


def _of_task(task, seeds):
    minutes, judging = _MINUTES[task]
    needs = ()
    if judging:
        needs = (f"{task}-judge",)
        yield Job(f"{task}-judge", task, "judge", task, judging)
    yield Job(f"{task}-reference", task, "reference", task, 0.5, needs=needs)
    for seed in seeds:
        flow = _flow(task, seed, minutes, needs=needs)
        yield flow
        for method in METHODS[task]:
            yield Job(
                f"{task}-{method}-{seed}", task, "baseline", task, minutes, method, seed=seed,
                needs=(*needs, flow.name),
            )  # fmt: skip
    if task == "colored_digits":
        conditioner = f"{task}-conditioner"
        yield Job(conditioner, task, "features", task, 0.5)
        for variant in ("frozen", "none"):
            fields = {"model__conditioner": variant}
            more = (conditioner,) if variant == "frozen" else ()
            for seed in seeds:
                yield _flow(task, seed, minutes, variant=variant, needs=needs + more, fields=fields)


def _flow(task, seed, minutes, variant="joint", **options):
    name = variant.replace(" ", "_")
    if task != "digits":
        name = "cinn" if variant == "joint" else f"cinn_{variant}"
    options = {"stage": task} | options
    return Job(
        f"{task}-{name}-{seed}", action="flow", task=task, minutes=minutes, method="cinn",
        variant=variant, seed=seed, **options,
    )  # fmt: skip


def _scaled(job, scale, fast):
    minutes = 0.6 if fast else job.minutes * (scale if job.action == "flow" else 1)
    if job.action == "features":
        length = {"epochs": 2 if fast else max(1, round(scale * _CONDITIONER_EPOCHS))}
    elif job.action == "flow" and fast:
        length = {"train__epochs": 2, "train__steps_per_epoch": 20, "train__milestones": (1,)}
    elif job.action == "flow":
        epochs, milestones = _EPOCHS[job.task]
        length = {
            "train__epochs": max(1, round(scale * epochs)),
            "train__milestones": tuple(max(1, round(scale * each)) for each in milestones),
        }
    else:
        length = {}
    return dataclasses.replace(job, minutes=minutes, fields=length | job.fields)
