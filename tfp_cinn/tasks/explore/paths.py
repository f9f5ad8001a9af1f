"""Tools of `bin/explore.py` that draw single examples: paths, styles, temperatures, resolutions."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from tfp_cinn import latent
from tfp_cinn.plots.panels import Panel, draw_panels
from tfp_cinn.tasks.explore.options import Options, Picture
from tfp_cinn.tasks.explore.subject import Examples, Subject, batched

__all__ = ["interpolation", "scales", "temperature", "transfer", "walks"]

_SIDE_BY_SIDE = 3


def interpolation(subject: Subject, cases: Examples, options: Options) -> Picture:
    """The way between the same two latents under each condition, straight and along the sphere."""
    pair = subject.dist.distribution.sample(2, seed=[0, options.seed])
    z0, z1 = tf.reshape(pair, [2, -1])
    steps, panels, numbers = options.steps, [], {}
    for kind in ("linear", "spherical"):
        z = latent.interpolate(z0, z1, steps, kind).numpy()
        panels.append(
            Panel(
                _by_row(subject.shown(subject.decoded(z, cases.cond), cases)),
                f"{kind} interpolation of the latents, t from 0 to 1",
                [f"{t:.2g}" for t in np.linspace(0, 1, steps)],
            )
        )
        norms = np.linalg.norm(z, axis=-1) / np.sqrt(z.shape[-1])
        numbers[kind] = {"smallest_norm_over_root_dimensions": float(norms.min())}
    title = "From one random latent to another, the same two in every row"
    return _picture(panels, cases.names, title, numbers)


def transfer(subject: Subject, cases: Examples, options: Options) -> Picture:
    """Each case's latents under each target's condition."""
    targets = subject.targets(cases)
    x = latent.transfer(
        subject.dist, cases.x, cases.cond, np.expand_dims(targets.cond, 1)
    ).numpy()  # [targets, cases, ...]
    table = [
        subject.shown(x.swapaxes(0, 1)[row], targets._replace(x=x[:, row]))
        for row in range(len(cases.x))
    ]
    original, table = subject.shown(cases.x, cases)[:, np.newaxis], np.stack(table)
    names, conditions = list(cases.names), subject.conditions_shown(targets)
    if conditions is not None:
        blank = np.ones_like(conditions[:1])
        table = np.concatenate([conditions[np.newaxis], table])
        original = np.concatenate([blank[np.newaxis], original])
        names = ["condition", *names]
    panels = [
        Panel(original, "original"),
        Panel(table, "its latents decoded under another condition", targets.names),
    ]
    same = latent.transfer(subject.dist, cases.x, cases.cond, cases.cond) - cases.x
    numbers = {"largest_round_trip_error": float(np.abs(same).max())}
    write = functools.partial(subject.write_transfers, x, cases)
    title = f"{subject.style} transfer: each row keeps its latents, each column gives the condition"
    return _picture(panels, names, title, numbers)._replace(write_more=write)


def temperature(subject: Subject, cases: Examples, options: Options) -> Picture:
    """The same latents at rising temperature, under each condition."""
    rows = [
        latent.sweep(subject.dist, cond, options.temperatures, 1, options.seed)[:, 0].numpy()
        for cond in cases.cond
    ]
    x = np.stack(rows, axis=1)
    panel = Panel(
        _by_row(subject.shown(x, cases)),
        column_labels=[f"{each:g}" for each in options.temperatures],
    )
    spread = np.sqrt(((x - x[:1]) ** 2).mean(axis=tuple(range(1, x.ndim))))
    numbers = {"rms_change_from_first": [float(each) for each in spread]}
    return _picture(
        [panel], cases.names, "One random latent for all rows, times the temperature above", numbers
    )


def walks(subject: Subject, cases: Examples, options: Options) -> Picture:
    """Walks along the principal axes of the latents of held-out examples."""
    held_out = subject.held_out(options.num_examples)
    z = latent.latents(subject.dist, batched(held_out.x, held_out.cond))
    found = latent.PrincipalComponents.of(z, options.num_components)
    cases = _few(cases)
    steps, extent = options.steps, 3.0
    path = np.stack([found.walk(k, steps, extent) for k in range(options.num_components)])
    images = subject.shown(subject.decoded(path, cases.cond), cases)
    columns = [f"{s:+.2g}" if s else "mean" for s in np.linspace(-extent, extent, steps)]
    panels = [
        Panel(images[:, :, k], f"{name}, in standard deviations", columns)
        for k, name in enumerate(cases.names)
    ]
    rows = [f"axis {k}, std {std:.2f}" for k, std in enumerate(found.stds, 1)]
    numbers = {
        "num_examples": len(z),
        "stds": found.stds.tolist(),
        "explained": found.explained.tolist(),
        "noise_edge": found.noise_edge,
    }
    title = (
        f"Walks along the principal axes of the latents of {len(z)} held-out examples; draws of "
        f"N(0, I) would have std {found.noise_edge:.2f} or less"
    )
    return _picture(panels, rows, title, numbers)


def scales(subject: Subject, cases: Examples, options: Options) -> Picture:
    """New latents of one resolution, those of the others kept."""
    layout = subject.dist.bijector.latent_scales
    wanted = range(len(layout)) if options.scale is None else [options.scale]
    cases = _few(cases)
    z = subject.dist.encode(cases.x, cases.cond)
    drawn = np.stack(
        [
            latent.resample(
                subject.dist, z, cases.cond, scale, [scale, options.seed], options.num_samples
            )
            for scale in wanted
        ]
    )
    original = np.broadcast_to(cases.x, (len(drawn), 1, *cases.x.shape))
    images = subject.shown(np.concatenate([original, drawn], axis=1), cases)
    columns = ["original", *map(str, range(1, options.num_samples + 1))]
    panels = [Panel(images[:, :, k], name, columns) for k, name in enumerate(cases.names)]
    rows = [f"scale {scale}, {'x'.join(map(str, layout[scale].shape))}" for scale in wanted]
    numbers = {
        str(scale): {"rms_change": float(np.sqrt(((each - cases.x) ** 2).mean()))}
        for scale, each in zip(wanted, drawn, strict=True)
    }
    title = "Latents of one resolution drawn anew, the others kept; scale 0 is the finest"
    return _picture(panels, rows, title, numbers)


def _few(cases):
    """Those that fit side by side; of many, not the first, which tend to be alike or simple."""
    count = len(cases.names)
    return cases if count <= _SIDE_BY_SIDE else cases.take([count // 3, 2 * count // 3])


def _by_row(images):
    """Images `[columns, rows, ...]` as `[rows, columns, ...]`."""
    return images.swapaxes(0, 1)


def _picture(panels, rows, title, numbers):
    draw = functools.partial(draw_panels, panels, row_labels=list(rows), title=title)
    non_finite = sum(np.isnan(panel.images).any(axis=(2, 3, 4)).sum() for panel in panels)
    return Picture(draw, numbers | {"non_finite_images": int(non_finite)})
