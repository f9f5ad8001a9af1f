"""Export of a trained model for TensorFlow Serving."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tqdm
from absl import logging

from tfp_cinn import files, tasks
from tfp_cinn.errors import UsageError
from tfp_cinn.export.arguments import (
    BATCH_SIZES,
    check_weights,
    checked_batch_sizes,
    num_classes_of,
)
from tfp_cinn.export.card import checked_facts, make_card, to_markdown
from tfp_cinn.export.colorize import colorize
from tfp_cinn.export.publish import (
    choose_version,
    publishing,
    verify,
    write_checksums,
    writing_by_tensorflow,
)
from tfp_cinn.export.signatures import Signature, card_signature, signatures
from tfp_cinn.export.warm_up import measured_rounding, write_warm_up
from tfp_cinn.model import CINN
from tfp_cinn.tasks.evaluation import as_json, from_json
from tfp_cinn.workdir import Workdir

__all__ = ["BAD_ROWS", "export_model", "export_run"]

BAD_ROWS = ("nan", "flag")

# Batch size for measuring rounding, unless all batch sizes are smaller.
_MEASURED = 64
_MORE = {"colorize": colorize}  # signatures by name, that a task may add


def export_run(
    workdir: str | os.PathLike,
    output: str | os.PathLike,
    version: int | None = None,
    batch_sizes: Sequence[int] | None = None,
    xla: bool = False,
    bad_rows: str = "nan",
) -> pathlib.Path:
    """Export the model of a training run, as `bin/export.py` does.

    Args:
        workdir: the training run.
        output: folder of the model's versions, `MODELS/NAME`; its name is the one served.
        version: as in `export_model`.
        batch_sizes: as in `export_model`.
        xla: as in `export_model`.
        bad_rows: as in `export_model`.

    Returns:
        The folder of the version, which is printed as well.

    Raises:
        UsageError: if workdir, output or another argument is wrong.
    """
    workdir = Workdir(workdir)
    facts = _facts(workdir)
    model = workdir.load_model()
    path = export_model(model, output, version, batch_sizes, xla, facts, bad_rows)
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
) -> pathlib.Path:
    """Write a model as a SavedModel that TensorFlow Serving loads, `output/version`.

    It has the signatures `sample` (the default), `log_prob`, `encode`, `decode` and `card`; see
    `tfp_cinn.export.signatures`. The folder also holds `model_card.json`, `MODEL_CARD.md`, warm-up
    records, batching parameters, and checksums. Before the version gets its name, a fresh process
    loads it as a server does and replays the warm-up; if anything fails, `output` is unchanged.
    Existing versions are never overwritten.

    Args:
        model: the model.
        output: folder of the model's versions; its name is the model's name on the server.
        version: a whole number from 1; by default, the highest existing one plus 1.
        batch_sizes: increasing numbers of rows that a server may batch, at most 100;
            `BATCH_SIZES` if None, and 1 for a model with `colorize`, since a server that batches
            images of different sizes fails all of them. Clients may send any number up to the last.
        xla: whether to compile with XLA. A server needs a flag for such a model, and its noise
            differs from the plain graph's for the same seed.
        facts: more facts for the card: `task` and what describes it, as in a training run's
            `task.json` (a task may add signatures), `evaluation` as
            `{name: {"mean": , "standard_error": }}`, and any JSON values under names that the card
            doesn't use.
        bad_rows: the answer for invalid rows: "nan", or "flag" for 0 and a second output `valid`,
            false for such rows, in every signature that computes. JSON has no NaN: browsers reject
            a whole answer that holds one.

    Returns:
        The folder of the version.

    Raises:
        UsageError: if a weight isn't finite, an argument is wrong, or a file can't be written.
    """
    # Absolute, so that it has a name even if given as '.'.
    models = pathlib.Path(os.path.abspath(files.user_path(output)))
    if bad_rows not in BAD_ROWS:
        raise UsageError(f"bad_rows: expected one of {', '.join(BAD_ROWS)}, got {bad_rows!r}")
    if not isinstance(model, CINN):
        raise UsageError(f"expected a tfp_cinn.CINN to export, got a {type(model).__name__}")
    facts = checked_facts(facts or {})
    if "task" in facts:
        tasks.find(facts["task"], "facts: task")
    task = tasks.restore(facts)
    more = [_MORE[each](model) for each in task.signatures]
    of_any_size = any(None in f.shape for each in more for f in each.inputs)
    if batch_sizes is None:
        batch_sizes = (1,) if of_any_size else BATCH_SIZES
    batch_sizes = checked_batch_sizes(batch_sizes)
    version = choose_version(models, version)
    check_weights(model)
    num_classes = num_classes_of(model, facts.get("class_names"))
    labels_below = num_classes or 1
    served = [*signatures(model, task.x_meaning, task.cond_meaning), *more]
    served = [dataclasses.replace(each, flags_bad_rows=bad_rows == "flag") for each in served]

    with (
        tqdm.tqdm(total=4, desc="export", leave=False, disable=None) as bar,
        publishing(models, version) as path,
    ):
        bar.set_postfix_str("rounding")
        functions = {signature.name: (signature, _traced(signature, xla)) for signature in served}
        rounding = measured_rounding(
            functions["sample"], min(_MEASURED, batch_sizes[-1]), labels_below
        )
        described = [*served, card_signature("")]
        card = make_card(model, models.name, version, described, batch_sizes, xla, rounding, facts)
        text = json.dumps(card, indent=2, allow_nan=False)
        signature = card_signature(text)
        functions[signature.name] = signature, _traced(signature, xla=False)
        bar.update()
        bar.set_postfix_str("writing")
        _write_saved_model(path, functions)
        functions["serving_default"] = functions["sample"]
        bar.update()
        bar.set_postfix_str("warm-up records")
        write_warm_up(path, models.name, functions, batch_sizes, labels_below)
        (path / "model_card.json").write_text(text + "\n")
        (path / "MODEL_CARD.md").write_text(to_markdown(card))
        (path / "batching_params.pbtxt").write_text(_batching_parameters(batch_sizes))
        write_checksums(path)
        bar.update()
        bar.set_postfix_str("replay in a fresh process")
        verify(path)
        bar.update()
    return models / str(version)


def _traced(signature: Signature, xla: bool) -> tf.types.experimental.GenericFunction:
    function = tf.function(
        signature, input_signature=signature.specs, autograph=False, jit_compile=xla
    )
    try:
        function.get_concrete_function()
    except tf.errors.OpError as error:
        reason = " ".join(error.message.split())[:300]
        raise UsageError(f"{signature.name}: the model fails in a graph ({reason})") from None
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
        with writing_by_tensorflow():
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
