"""What a cINN is compared with: a conditional VAE, a conditional GAN and a regression CNN.

    model = build("vae", task, seed=0)
    history = train(model, task, seconds=250, seed=0)
    x = model.sample(cond, num_samples=8, seed=0)

README.md beside this file says what they are, what was tried and what was chosen.
"""

import keras

from reproduction.baselines.gan import GAN
from reproduction.baselines.regression import Regression
from reproduction.baselines.training import train
from reproduction.baselines.vae import VAE
from tfp_cinn.errors import UsageError
from tfp_cinn.tasks import Task

__all__ = ["METHODS", "build", "train"]

_MODELS = {"vae": VAE, "gan": GAN, "regression": Regression}

METHODS = tuple(_MODELS)


def build(method: str, task: Task, seed: int) -> keras.Model:
    """Return an untrained model, of about as many weights as the cINN of that task.

    It needs no data. It has `sample`, `nats_per_dim` and `generator_weights`; see `Baseline`.

    Args:
        method: one of `METHODS`.
        task: the data; "regression" takes images as conditions only.
        seed: of the weights, and of what a GAN drops out in training.

    Raises:
        UsageError: if there is no such method, or it doesn't fit the task.
    """
    if method not in _MODELS:
        raise UsageError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    return _MODELS[method](task, seed)
