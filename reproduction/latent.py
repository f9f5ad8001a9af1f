"""What the latent space of a flow holds: pictures of the first seed's, numbers of all."""

import pathlib

import numpy as np

from reproduction.runs import SEED
from reproduction.tasks import TASKS
from tfp_cinn import latent as tools
from tfp_cinn import tasks
from tfp_cinn.workdir import Workdir

_PHOTOS, _DRAWS = 4, 3  # of the picture of one scale drawn anew


def latent(job, folder, fast):
    """Explore the latent space of a flow that another job trained."""
    workdir = Workdir(pathlib.Path(folder, "workdirs", job.needs[-1]))
    output = pathlib.Path(folder, "pictures", "latent", f"{job.task}-{job.seed}")
    output.parent.mkdir(parents=True, exist_ok=True)
    options = {"num_examples": 100} if fast else {}
    if job.seed:
        options["what"] = ["foreign"]
    numbers = tasks.explore(workdir, output=output, seed=SEED, **options)
    sets = numbers["foreign"]["sets"]
    found = {"figures": {}, "foreign": sets, "walks": numbers.get("walks")}
    task = TASKS[job.task](folder, fast)
    dist = workdir.load_model().distribution
    if hasattr(task, "style_transfer"):
        found["figures"] = task.style_transfer(dist)
    if job.task == "photographs" and not job.seed:
        _scales(job, folder, task, dist)
    return found


def _scales(job, folder, task, dist):
    """Colorings with one scale of z drawn anew, for a picture without lightness."""
    lightness = next(iter(task.likelihood_batches()))[1][: 4 * _PHOTOS : 4]
    z = dist.distribution.sample(len(lightness), seed=SEED)
    drawn = [
        tools.resample(dist, z, lightness, scale, seed=SEED, num_samples=_DRAWS).numpy()
        for scale in range(len(dist.bijector.latent_scales))
    ]
    path = pathlib.Path(folder, "pictures", f"{job.name}.npz")
    np.savez_compressed(path, first=dist.decode(z, lightness), ab=np.stack(drawn))
