"""Export of a trained model for TensorFlow Serving."""

from __future__ import annotations

import dataclasses
import json
import operator
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from tfp_cinn import files, tasks
from tfp_cinn.errors import UsageError
from tfp_cinn.export.card import checked_facts, make_card, to_markdown
from tfp_cinn.export.colorize import colorize
from tfp_cinn.export.publish import choose_version, publishing, verify
from tfp_cinn.export.signatures import Signature, card_signature, signatures
from tfp_cinn.export.stablehlo import write_stablehlo
from tfp_cinn.export.warm_up import write_warm_up
from tfp_cinn.model import CINN
from tfp_cinn.networks import LabelEmbedding, OneHot
from tfp_cinn.tasks.evaluation import as_json, from_json
from tfp_cinn.workdir import Workdir

__all__ = ["BATCH_SIZES", "export_model", "export_run"]

BATCH_SIZES = (1, 4, 16, 64)

# Each needs a warm-up record for every signature, and a server accepts 1000 records.
_MAX_BATCH_SIZES = 100
_MORE = {"colorize": colorize}  # signatures by name, that a task may add


def export_run(
    workdir: str | os.PathLike, output: str | os.PathLike, **options: Any
) -> pathlib.Path:
    """Export the model of a training run; print and return the folder of the version.

    Args:
        workdir: the training run; its description and figures go into the card.
        output: folder of the model's versions, `MODELS/NAME`.
        **options: of `export_model`: `version`, `batch_sizes`, `xla`, `bad_rows`, `stablehlo`.

    Raises:
        UsageError: if workdir, output or another argument is wrong.
    """
    workdir = Workdir(workdir)
    facts = _facts(workdir)
    path = export_model(workdir.load_model(), output, facts=facts, **options)
    print(path)
    return path


def _facts(workdir: Workdir) -> dict[str, Any]:
    """Return what the run recorded about its task and quality."""
    facts = {**workdir.description(), "model_sha256": workdir.model_sha256()}
    evaluation = workdir.evaluation()
    # Ignore results of another model.
    if evaluation.get("model_sha256") == facts["model_sha256"]:
        facts["evaluation"] = as_json(from_json(evaluation))
    return facts


def export_model(
    model: CINN,
    output: str | os.PathLike,
    version: int | None = None,
    batch_sizes: Sequence[int] | None = None,
    xla: bool = False,
    facts: Mapping[str, Any] | None = None,
    bad_rows: str = "nan",
    stablehlo: bool = False,
) -> pathlib.Path:
    """Write a model as a SavedModel that TensorFlow Serving loads, `output/version`.

    It has the signatures `sample` (the default), `log_prob`, `encode`, `decode` and `card`; see
    `tfp_cinn.export.signatures`. The folder also holds `model_card.json`, `MODEL_CARD.md`, warm-up
    records and batching parameters. Before the version gets its name, a fresh process loads it as a
    server does and replays the warm-up; if anything fails, nothing is published. Existing versions
    are never overwritten.

    Args:
        model: the model.
        output: folder of the model's versions; its name is the model's name on the server.
        version: a whole number from 1; by default, the highest existing one plus 1.
        batch_sizes: increasing numbers of rows that a server may batch, at most 100;
            `BATCH_SIZES` if None, and 1 for a model with `colorize`, since a server that batches
            images of different sizes fails all of them. Clients may send any number up to the last.
        xla: whether to compile with XLA. A server needs a flag for such a model.
        facts: more facts for the card: `task` and what describes it, as in a training run's
            `task.json` (a task may add signatures), `evaluation` as
            `{name: {"mean": , "standard_error": }}`, and any JSON values under names that the card
            doesn't use.
        bad_rows: the answer for invalid rows: "nan", or "flag" for 0 and a second output `valid`,
            false for such rows, in every signature that computes. JSON has no NaN: browsers reject
            a whole answer that holds one.
        stablehlo: whether to write the folder `stablehlo` too, for JAX without TensorFlow: each
            signature for each of the batch sizes. Needs JAX.

    Returns:
        The folder of the version.

    Raises:
        UsageError: if a weight isn't finite, an argument is wrong, or a file can't be written.
    """
    # Absolute, so that it has a name even if given as '.'.
    models = pathlib.Path(os.path.abspath(files.user_path(output)))
    if bad_rows not in ("nan", "flag"):
        raise UsageError(f"bad_rows: expected nan or flag, got {bad_rows!r}")
    if not isinstance(model, CINN):
        raise UsageError(f"expected a tfp_cinn.CINN to export, got a {type(model).__name__}")
    facts = checked_facts(facts or {})
    if "task" in facts:
        tasks.find(facts["task"], "facts: task")
    task = tasks.restore(facts)
    more = [_MORE[each](model) for each in task.signatures]
    if batch_sizes is None:
        of_any_size = any(None in f.shape for each in more for f in each.inputs)
        batch_sizes = (1,) if of_any_size else BATCH_SIZES
    batch_sizes = _checked_batch_sizes(batch_sizes)
    version = choose_version(models, version)
    _check_weights(model)
    num_classes = _num_classes(model, facts.get("class_names"))
    served = [*signatures(model, task.x_meaning, task.cond_meaning), *more]
    served = [dataclasses.replace(each, flags_bad_rows=bad_rows == "flag") for each in served]
    described = [*served, card_signature("")]
    card = make_card(model, models.name, version, described, batch_sizes, xla, facts)
    text = json.dumps(card, indent=2, allow_nan=False)
    functions = {each.name: (each, _traced(each, xla)) for each in served}
    functions["card"] = card_signature(text), _traced(card_signature(text), xla=False)

    with (
        tqdm.tqdm(total=3, leave=False, disable=None) as bar,
        publishing(models, version) as path,
    ):
        bar.set_description("export: warm-up records")
        answered = functions | {"serving_default": functions["sample"]}
        write_warm_up(path, models.name, answered, batch_sizes, num_classes or 1)
        bar.update()
        bar.set_description("export: writing")
        _write_saved_model(path, functions)
        if stablehlo:
            write_stablehlo(path / "stablehlo", model, served, batch_sizes)
        (path / "model_card.json").write_text(text + "\n")
        (path / "MODEL_CARD.md").write_text(to_markdown(card))
        (path / "batching_params.pbtxt").write_text(_batching_parameters(batch_sizes))
        bar.update()
        bar.set_description("export: replay in a fresh process")
        verify(path)
        bar.update()
    return models / str(version)


def _checked_batch_sizes(batch_sizes: Sequence[int | str]) -> list[int]:
    try:
        sizes = [int(n) if isinstance(n, str) else operator.index(n) for n in batch_sizes]
    except (TypeError, ValueError):
        sizes = []
    if not sizes or sizes[0] < 1 or sizes != sorted(set(sizes)) or len(sizes) > _MAX_BATCH_SIZES:
        raise UsageError(
            f"batch_sizes: expected up to {_MAX_BATCH_SIZES} increasing whole numbers from 1, such "
            f"as {list(BATCH_SIZES)}, got {str(batch_sizes)[:100]}"
        )
    return sizes


def _check_weights(model: CINN) -> None:
    # TensorFlow's fused operations can turn the NaN of a weight into good-looking samples.
    for weight in model.weights:
        bad = np.count_nonzero(~np.isfinite(keras.ops.convert_to_numpy(weight)))
        if bad:
            raise UsageError(
                f"the model can't be exported: {bad} values of its weight {weight.path} are NaN or "
                "infinite; train it again"
            )


def _num_classes(model: CINN, names: Sequence[str] | None) -> int | None:
    """Return the number of classes of the condition; None if it isn't a label or is unknown."""
    known = None
    if isinstance(model.conditioner, (LabelEmbedding, OneHot)):
        known = model.conditioner.num_classes
    if names and known not in (None, len(names)):
        raise UsageError(
            f"facts: the model's condition is one of {known} classes, got {len(names)} class_names"
        )
    return len(names) if names else known


def _traced(signature: Signature, xla: bool) -> tf.types.experimental.GenericFunction:
    specs = [feature.spec for feature in signature.inputs]
    function = tf.function(signature, input_signature=specs, autograph=False, jit_compile=xla)
    function.get_concrete_function()
    return function


def _write_saved_model(
    path: pathlib.Path, functions: Mapping[str, tuple[Signature, Callable]]
) -> None:
    archive = keras.export.ExportArchive()
    for name, (_, function) in functions.items():
        # Not with `track`, which would store the weights twice.
        archive.add_endpoint(name, function)
    verbosity = logging.get_verbosity()
    try:
        logging.set_verbosity(logging.WARNING)  # TensorFlow logs every tensor that it renames
        archive.write_out(str(path), verbose=False)
    finally:
        logging.set_verbosity(verbosity)


def _batching_parameters(batch_sizes: Sequence[int]) -> str:
    sizes = "".join(f"allowed_batch_sizes: {n}\n" for n in batch_sizes)
    return f"""\
# Read by a server started with --enable_batching --enable_per_model_batching_parameters.
max_batch_size {{ value: {batch_sizes[-1]} }}
{sizes}\
# How long a row waits for others to share its batch.
batch_timeout_micros {{ value: 2000 }}
# Beyond these the server answers UNAVAILABLE, and clients try again.
max_enqueued_batches {{ value: 100 }}
"""
