"""The flow for anybody's x and c, chosen by their shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np

from tfp_cinn.bijectors import (
    Affine,
    Bounded,
    Chain,
    ConditionalBijector,
    Coupling,
    ElementwiseConditional,
    Ensemble,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    HeavyTails,
    RationalQuadraticSpline,
    Reshape,
    SoftPermutation,
    Standardize,
)
from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.networks import (
    MLP,
    ConvNet,
    DeepSet,
    LabelEmbedding,
    OneHot,
    SeriesFeatures,
    SetTransformer,
)

__all__ = ["ShapedPairs", "condition_network", "from_shapes"]

_DENSE_UP_TO = 1024
"""Entries of an x up to which dense subnets see all of it at once."""

_SUMMARIES = {"deep_set": DeepSet, "set_transformer": SetTransformer, "series": SeriesFeatures}
"""Networks for parts `[M, D]`."""

_SPLINES_UP_TO = 5
"""Entries of an x up to which its couplings are splines; of more they overfit sooner."""

_LONG_VECTOR = 64
"""Entries of a condition from which a network makes it shorter."""


class ShapedPairs(Protocol):
    """Pairs (x, c), as far as this architecture asks for them."""

    event_shape: Shape
    """Shape of one x."""

    cond_shape: Any
    """Shape of one condition."""

    moments: tuple[Sequence[float], Sequence[float]]
    """Mean and standard deviation of x by channel; of x made unbounded, where it has bounds."""

    bounds: tuple[Any, Any] | None
    """Low and high of x."""

    parts: Mapping[str, Mapping[str, Any]]
    """What each part of the condition is: shape, num_classes, mean, std, mask, set."""


def from_shapes(
    data: ShapedPairs,
    *,
    flow: str | None = None,
    blocks: int | None = None,
    hidden: Sequence[int] | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    clamp: float = 2.0,
    features: int = 64,
    summary: str | None = None,
    ensemble: int = 1,
    weight_prior: float = 2e-4,
) -> CINN:
    """Build a flow for the shapes of x and of the condition, standardized inside.

        x -> (Bounded) -> Standardize -> flow -> z,    c -> `condition_network` -> a vector

    The flow is one of:

    * "elementwise", for a number: affine, then a spline, then affine, with parameters from c alone,
      then `HeavyTails`;
    * "spline", for up to 5 entries: `blocks` times (rotation, coupling of rational quadratic
      splines with a small MLP beside a linear map), then `HeavyTails`;
    * "affine", for up to 1024 entries, of a vector, series or map: the same with Glow couplings;
    * "convolutional", for maps `[H, W, C]`: on each scale a Haar downsampling and Glow couplings of
      small convolutions, half of the channels leaving after each, with an affine flow at the end.

    Args:
        data: shapes, moments and bounds of x and c.
        flow: one of the above; chosen by the shape of x if None.
        blocks: couplings in all (6 of splines, 12 affine ones if None), or on each scale of a
            convolutional flow (4 if None).
        hidden: widths of the subnets' hidden layers; chosen by the size of x if None.
        activation: name of the subnets' Keras activation.
        dropout: dropout rate in dense subnets.
        clamp: bound of an affine coupling's log-scale, nats.
        features: length of the vector that a network makes of a series, map, set or long vector.
        summary: what a set goes through: "deep_set" (if None), "set_transformer", or "series" for a
            part that has a mask of its points and whose order matters.
        ensemble: number of such flows, which are trained at once and whose mixture is the model;
            see `bijectors.Ensemble`.
        weight_prior: see `tfp_cinn.CINN`; of each member of an ensemble.

    Raises:
        UsageError: if an argument is out of range, or the flow can't take x.
    """
    shape = data.event_shape
    size = math.prod(shape)
    if flow is None:
        image = len(shape) == 3 and shape[0] % 2 == 0 and shape[1] % 2 == 0
        flow = "spline" if size <= _SPLINES_UP_TO else "affine"
        flow = "elementwise" if size == 1 else flow
        flow = "convolutional" if size > _DENSE_UP_TO and image else flow
    makers = {
        "elementwise": _elementwise,
        "spline": _spline,
        "affine": _affine,
        "convolutional": _convolutional,
    }
    if flow not in makers:
        raise UsageError(f"model.flow: expected one of {', '.join(makers)}, got {flow!r}")
    for name, number in (("blocks", blocks), ("ensemble", ensemble)):
        if number is not None and number < 1:
            raise UsageError(f"model.{name}: expected at least 1, got {number}")
    if size == 1 and flow != "elementwise":
        raise UsageError(f'model.flow: expected "elementwise" for a number x, got {flow!r}')
    if hidden is None:
        width = 64 if size <= 16 else 128 if size <= 128 else 256
        hidden = (64,) if flow == "convolutional" else (width, width)
    if flow == "convolutional":
        subnet = ConvNet(hidden, activation)
    else:
        subnet = MLP(hidden, activation, dropout=dropout, skip=True)
    first = [] if data.bounds is None else [Bounded(*data.bounds)]
    first.append(Standardize(*data.moments))
    flows = [makers[flow](shape, subnet, blocks, clamp, 100 * k) for k in range(ensemble)]
    rest = flows[0] if ensemble == 1 else [Ensemble([Chain(members) for members in flows])]
    model = CINN(
        Chain([*first, *rest]),
        shape,
        conditioner=condition_network(data.cond_shape, data.parts, features, summary),
        cond_shape=data.cond_shape,
        weight_prior=weight_prior / ensemble,  # as the loss is the mean of the members'
        name="cinn",
    )
    couplings = sum(isinstance(m, (Coupling, ElementwiseConditional)) for m in flows[0])
    what = f"{couplings} blocks of {'x'.join(map(str, hidden))}" if couplings else "several scales"
    times = f"{ensemble} times " if ensemble > 1 else ""
    print(
        f"x {shape} given {data.cond_shape}: {times}{flow} flow, {what}, "
        f"{model.count_params():,} weights; config.model overrides each choice"
    )
    return model


def condition_network(
    cond_shape: Any,
    parts: Mapping[str, Mapping[str, Any]],
    features: int = 64,
    summary: str | None = None,
) -> keras.Model | None:
    """Make one vector of all parts of a condition, each standardized.

    A label becomes one-hot, or an embedding from 64 classes on; a vector stays as it is up to
    64 entries; series go through `SeriesFeatures`, sets through a `DeepSet` or a `SetTransformer`,
    maps through convolutions, longer vectors through dense layers. A part with a mask is zero where
    the mask is; a mask of single entries is a feature as well, and a point of a set that has none
    isn't there.

    Args:
        cond_shape: None, one shape, or one for each part and for each mask, by name.
        parts: what each part is: `shape`, and `num_classes` of a label, or `mean` and `std` of the
            last axis; `mask` "set" or "entries" if there is an input `NAME_mask`; `set` if it is
            one.
        features: length of a network's vector.
        summary: see `from_shapes`.
    """
    if summary not in (None, *_SUMMARIES):
        raise UsageError(f"model.summary: expected one of {', '.join(_SUMMARIES)}, got {summary!r}")
    if cond_shape is None:
        return None
    single = not isinstance(cond_shape, Mapping)
    shapes = {next(iter(parts)): cond_shape} if single else cond_shape
    inputs = {
        name: keras.Input(shape, dtype=None if shape else "int32", name=name)
        for name, shape in shapes.items()
    }
    vectors = [
        _part_features(inputs[name], inputs.get(f"{name}_mask"), part, features, summary)
        for name, part in parts.items()
    ]
    vector = keras.layers.Concatenate()(vectors) if len(vectors) > 1 else vectors[0]
    return keras.Model(next(iter(inputs.values())) if single else inputs, vector)


def _part_features(value, mask, part: Mapping[str, Any], features: int, summary: str | None):
    shape = tuple(part["shape"])
    if not shape:
        classes = part["num_classes"]
        wide = classes >= _LONG_VECTOR
        return (LabelEmbedding(classes, features // 4) if wide else OneHot(classes))(value)
    value = keras.layers.Normalization(mean=part["mean"], variance=np.square(part["std"]).tolist())(
        value
    )
    if mask is not None and part["mask"] == "entries":
        value = keras.layers.Concatenate()([keras.layers.Multiply()([value, mask]), mask])
        mask = keras.ops.max(mask, axis=-1) if part.get("set") else None
    if len(shape) == 2:
        name = (summary or "deep_set") if part.get("set") else "series"
        strided = {"layers": max(0, math.ceil(math.log2(shape[0] / 8)))} if name == "series" else {}
        network = _SUMMARIES[name](features, **strided)
        return network(value if mask is None else {"points": value, "points_mask": mask})
    if len(shape) > 1:
        return _convolutions(value, features)
    if shape[0] > _LONG_VECTOR:
        value = keras.layers.Dense(2 * features, activation="silu")(value)
        return keras.layers.Dense(features)(value)
    return value


def _convolutions(value, features: int):
    """Strided convolutions down to about 8 places a side, then dense: where a thing is counts."""
    layer = keras.layers.Conv2D
    channels = features // 4
    value = layer(channels, 3, padding="same", activation="silu")(value)
    while max(value.shape[1:-1]) > 8:
        channels = min(2 * channels, features)
        value = layer(channels, 3, strides=2, padding="same", activation="silu")(value)
    value = keras.layers.Flatten()(value)
    value = keras.layers.Dense(2 * features, activation="silu")(value)
    return keras.layers.Dense(features)(value)


def _flat(shape: Shape) -> list[ConditionalBijector]:
    if len(shape) == 1:
        return []
    return [Flatten()] if len(shape) == 3 else [Reshape(shape, (math.prod(shape),))]


def _elementwise(shape, subnet, blocks, clamp, seed):
    transforms = Affine(5.0), RationalQuadraticSpline(), Affine(5.0)
    layers = [ElementwiseConditional(subnet, t) for t in transforms]
    return [*_flat(shape), *layers, HeavyTails()]


def _spline(shape, subnet, blocks, clamp, seed):
    return _dense(shape, subnet, blocks or 6, RationalQuadraticSpline(bins=8), seed)


def _affine(shape, subnet, blocks, clamp, seed):
    return _dense(shape, subnet, blocks or 12, Affine(clamp), seed)


def _dense(shape, subnet, blocks, transform, seed):
    members = _flat(shape)
    for k in range(blocks):
        members += [SoftPermutation(seed=seed + k), Coupling(subnet, transform)]
    return [*members, HeavyTails()]


def _convolutional(shape, subnet, blocks, clamp, seed):
    """One scale, and the next ones inside of it; dense at the end."""
    if len(shape) != 3 or shape[0] % 2 or shape[1] % 2:
        raise UsageError(
            "model.flow: convolutional flows need a map of even height and width, got x "
            f'{tuple(shape)}; crop x, or set model.flow="affine"'
        )
    height, width, channels = shape
    members: list[ConditionalBijector] = [HaarDownsampling()]
    for k in range(blocks or 4):
        members += [SoftPermutation(seed + k), GlowCoupling(subnet, clamp=clamp, event_ndims=3)]
    height, width, channels = height // 2, width // 2, 4 * channels
    kept = channels // 2
    rest = (height, width, kept)
    if math.prod(rest) > _DENSE_UP_TO and height % 2 == 0 and width % 2 == 0:
        inner = _convolutional(rest, subnet, blocks, clamp, seed)
    else:
        wide = MLP((256, 256), subnet.activation, skip=True)
        inner = _affine(rest, wide, blocks, clamp, seed)
    return [*members, FactorOut(kept, Chain(inner))]
