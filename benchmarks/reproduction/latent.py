"""Pictures of the latent space of the first seed's flow."""

import pathlib

import numpy as np

from reproduction.runs import SEED
from reproduction.tasks import TASKS
from tfp_cinn import experiments
from tfp_cinn import latent as tools
from tfp_cinn.workdir import Workdir

_PHOTOS, _DRAWS = 4, 3  # of the picture of one scale drawn anew


def latent(job, folder, fast):
    """Explores the latent space of a flow that another job trained."""
    workdir = pathlib.Path(folder, "workdirs", job.needs[0])
    output = pathlib.Path(folder, "pictures", "latent", job.task)
    output.parent.mkdir(parents=True, exist_ok=True)
    few = {"num_examples": 60} if fast else {}
    numbers = experiments.explore(workdir, output=output, seed=SEED, **few)
    del numbers["pictures"]
    if job.task == "photographs":
        _scales(job, folder, workdir)
    return {"numbers": numbers}


def _scales(job, folder, workdir):
    """Colours of photographs with one scale of z drawn anew, for a picture without lightness."""
    task = TASKS[job.task](folder)
    dist = Workdir(workdir).load_model().distribution
    ab, lightness = (part[: 4 * _PHOTOS : 4] for part in next(iter(task.likelihood_batches())))
    z = dist.encode(ab, lightness)
    drawn = [
        tools.resample(dist, z, lightness, scale, seed=SEED, num_samples=_DRAWS).numpy()
        for scale in range(len(dist.bijector.latent_scales))
    ]
    arrays = {"true_ab": ab.numpy(), "ab": np.stack(drawn)}
    np.savez_compressed(pathlib.Path(folder, "pictures", f"{job.name}.npz"), **arrays)
