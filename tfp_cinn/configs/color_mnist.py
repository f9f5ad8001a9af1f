"""The paper's color-MNIST (`colorize` in mnist_cINN of its reference code).

Differs from the reference in the colors, which are new in every epoch, and in the conditioner,
which is trained with the flow: there it learns to classify digits first and is then left as it is
(here: model.conditioner "frozen", and its weights in model.pretrained).
"""

from tfp_cinn.configs import color_digits_config as get_config  # noqa: F401
