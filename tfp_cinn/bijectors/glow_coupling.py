"""The paper's two-sided coupling."""

from __future__ import annotations

import keras

from tfp_cinn.bijectors.affine_coupling import AffineCoupling

__all__ = ["GlowCoupling"]


@keras.saving.register_keras_serializable("tfp_cinn")
class GlowCoupling(AffineCoupling):
    r"""The paper's conditional coupling block: both halves transformed, with two subnets.

    Encoding, with x = [x_1 | x_2], [s_1 | t_1] = subnet_1([x_2, c]) and, after z_1 is known,
    [s_2 | t_2] = subnet_2([z_1, c]):

        z_1 = x_1 * exp(a(s_1)) + t_1
        z_2 = x_2 * exp(a(s_2)) + t_2
        log|det dz/dx| = sum a(s_1) + sum a(s_2)

    Decoding is its exact inverse, second half first. a is a soft clamp to (-clamp, clamp). Each
    subnet gives scale and shift at once, as in Glow.

    Source: arXiv 1907.02392, eqs. 1 to 4 and fig. 2; Kingma and Dhariwal, "Glow", arXiv 1807.03039.

    Args:
        subnet: makes a subnet from its number of output channels; called once for each half.
        clamp: bound of the log-scale, nats.
        clamp_type: "arctan" (the paper's), "arctan_unscaled" (that of FrEIA since then), "tanh" or
            "sigmoid".
        event_ndims: 1 for vectors `[C]`, 3 for feature maps `[H, W, C]`.
        name: name of the bijector.
    """

    _ORDER = (0, 1)
