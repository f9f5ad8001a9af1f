"""From a trained model to a version that TensorFlow Serving can load."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from tfp_cinn.errors import UsageError
from tfp_cinn.evaluation.facts import class_names, field
from tfp_cinn.export.card import make_card, to_markdown, x_meaning
from tfp_cinn.export.publish import choose_version, publishing, verify, write_checksums
from tfp_cinn.export.server_config import (
    batching_parameters,
    check_server_config,
    server_config,
    write_server_config,
)
from tfp_cinn.export.signatures import Signature, signatures
from tfp_cinn.export.warm_up import write_warm_up
from tfp_cinn.model import CINN
from tfp_cinn.workdir import Workdir

__all__ = ["BATCH_SIZES", "export_model", "export_run"]

BATCH_SIZES = (1, 4, 16, 64)


def export_run(
    workdir: str | os.PathLike,
    output: str | os.PathLike,
    version: int | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    xla: bool = False,
    config_folder: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Exports the model of a training run, as `bin/export.py` does.

    Args:
        workdir: the training run.
        output: folder of the model's versions, `MODELS/NAME`; its name is the one served.
        version: as in `export_model`.
        batch_sizes: as in `export_model`.
        xla: as in `export_model`.
        config_folder: folder to write configuration files for TensorFlow Serving to, if any;
            existing files are kept.

    Returns:
        The folder of the version, which is printed as well.

    Raises:
        UsageError: if workdir, output or an argument don't serve.
    """
    workdir = Workdir(workdir)
    facts = _facts(workdir)
    files = {}
    if config_folder is not None:
        config_folder = pathlib.Path(config_folder)
        files = server_config(config_folder, _absolute(output), xla)
        check_server_config(config_folder, files)
    path = export_model(workdir.load_model(), output, version, batch_sizes, xla, facts)
    if files:
        write_server_config(config_folder, files)
    print(path)
    return path


def _facts(workdir: Workdir) -> dict[str, Any]:
    """What the run wrote down of its data and of its quality."""
    source = workdir / "dataset.json"
    facts = workdir.dataset()
    known = {
        "dataset": field(facts, "name", str, source),
        "class_names": class_names(facts, source),
        "levels": field(facts, "levels", int, source),
    }
    evaluation = workdir.evaluation()
    known["model_sha256"] = workdir.model_sha256()
    # Figures of another model than this one say nothing of it.
    if evaluation.get("model_sha256") == known["model_sha256"]:
        known["evaluation"] = {
            key: value for key, value in evaluation.items() if isinstance(value, Mapping)
        }
    return known


def export_model(
    model: CINN,
    output: str | os.PathLike,
    version: int | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    xla: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Writes a model as a SavedModel that TensorFlow Serving loads, `output/version`.

    It has the signatures `sample` (the default), `log_prob`, `encode`, `decode` and `card`; see
    `tfp_cinn.export.signatures`. Beside the SavedModel lie `model_card.json`, `MODEL_CARD.md`,
    warm-up records, batching parameters, and checksums of all that. Before it appears under its
    name, a fresh process has loaded it as a server does and replayed the warm-up; if anything goes
    wrong, `output` is as it was before. An existing version is never overwritten.

    Args:
        model: the model.
        output: folder of the model's versions; its name is the one that is served.
        version: a whole number from 1; by default the one after the highest there.
        batch_sizes: how many rows a server may put into a batch, increasing. A client may send any
            number up to the last.
        xla: whether to compile with XLA. A server needs a flag for such a model; its noise differs
            from that of the plain graph for the same seed.
        facts: what else the card should say: `dataset`, `class_names` and `levels` as in a
            training run's `dataset.json`, and anything that JSON can hold.

    Returns:
        The folder of the version.

    Raises:
        UsageError: if the weights aren't finite, an argument is wrong, or it can't be written.
    """
    models = _absolute(output)
    facts = dict(facts or {})
    batch_sizes = _checked_batch_sizes(batch_sizes)
    version = choose_version(models, version)
    _check_weights(model)
    names = facts.get("class_names")
    cond_meaning = "the condition"
    if model.cond_shape == ():
        cond_meaning = f"class, 0 to {len(names) - 1}" if names else "class label"
    described = signatures(model, "", x_meaning(facts), cond_meaning)
    card = make_card(model, models.name, version, described, batch_sizes, xla, facts)
    text = json.dumps(card, indent=2, allow_nan=False)
    served = signatures(model, text, x_meaning(facts), cond_meaning)

    with (
        tqdm.tqdm(total=3, desc="export", leave=False, disable=None) as bar,
        publishing(models, version) as path,
    ):
        bar.set_postfix_str("writing")
        functions = _write_saved_model(path, served, xla)
        bar.update()
        bar.set_postfix_str("warm-up records")
        write_warm_up(path, models.name, functions, batch_sizes, len(names or [0]))
        (path / "model_card.json").write_text(text + "\n")
        (path / "MODEL_CARD.md").write_text(to_markdown(card))
        (path / "batching_params.pbtxt").write_text(batching_parameters(batch_sizes))
        write_checksums(path)
        bar.update()
        bar.set_postfix_str("replay in a fresh process")
        verify(path)
        bar.update()
    return models / str(version)


def _write_saved_model(
    path: pathlib.Path, served: Sequence[Signature], xla: bool
) -> dict[str, tuple[Signature, tf.types.experimental.GenericFunction]]:
    """Writes the SavedModel; returns each signature with its traced function."""
    archive = keras.export.ExportArchive()
    functions = {}
    for signature in served:
        function = tf.function(
            signature,
            input_signature=signature.specs,
            autograph=False,
            jit_compile=xla and signature.output.dtype != "string",
        )
        function.get_concrete_function()
        # Without `track`, which would store the weights twice.
        archive.add_endpoint(signature.name, function)
        functions[signature.name] = signature, function
    verbosity = logging.get_verbosity()
    try:
        logging.set_verbosity(logging.WARNING)  # TensorFlow tells of each tensor that it renames
        archive.write_out(str(path), verbose=False)
    finally:
        logging.set_verbosity(verbosity)
    return functions | {"serving_default": functions["sample"]}


def _absolute(output: str | os.PathLike) -> pathlib.Path:
    """The folder of versions by its full path, so that it has a name even if given as '.'."""
    return pathlib.Path(os.path.abspath(output))


def _checked_batch_sizes(batch_sizes: Sequence[int | str]) -> list[int]:
    try:
        sizes = [int(n) for n in batch_sizes]
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1 or sizes != sorted(set(sizes)):
        raise UsageError(
            "batch_sizes: expected increasing whole numbers from 1, such as "
            f"{','.join(map(str, BATCH_SIZES))}, got {','.join(map(str, batch_sizes)) or 'none'}"
        )
    return sizes


def _check_weights(model: CINN) -> None:
    for weight in model.weights:
        bad = np.count_nonzero(~np.isfinite(keras.ops.convert_to_numpy(weight)))
        if bad:
            raise UsageError(
                f"the model can't be exported: {bad} values of its weight {weight.path} are NaN or "
                "infinite; train it again"
            )
