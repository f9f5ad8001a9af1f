"""The verbs of `tfp-cinn`: the flags of each, and the function that gets them.

The docstrings are what --help shows.
"""

from __future__ import annotations

from tfp_cinn.cli.flags import Flags

__all__ = ["VERBS"]

_HELP = {
    "workdir": "Folder of a training run.",
    "cond": "Classes by number or name, all if not given; image files to color; or a .npy, .npz "
    "file.",
    "temperature": "Factor on the latents, 0 or more.",
    "seed": "The same seed draws the same.",
    "idx_dir": "Read the data here instead of where training did.",
    "folder": "The same for photographs, or a folder a class.",
}


def _train() -> Flags:
    """Train a conditional flow.

    tfp-cinn train --config=digits --workdir=runs/digits [--config.train.epochs=3]

    --strategy=mirrored uses all GPUs of this machine, --strategy=multi_worker all machines that the
    variable TF_CONFIG names; docs/distributed.md says more.
    """
    flags = Flags("tfp_cinn.training.train")
    flags.config()
    flags.path("workdir", "Folder for all results.", required=True)
    flags.string("strategy", "On which devices to train: none, mirrored or multi_worker.", "none")
    flags.number("wait", "Seconds to wait until all workers are there.", 300.0, lower_bound=0.0)
    return flags


def _evaluate() -> Flags:
    """Measure a trained flow on test data, and its samples beside them.

    tfp-cinn evaluate --workdir=runs/digits
    """
    flags = Flags("tfp_cinn.tasks.evaluate", _HELP)
    flags.path("workdir", required=True)
    flags.integer("batch_size", "Examples a batch.", lower_bound=1)
    flags.path("idx_dir")
    flags.path("folder")
    flags.integer(
        "num_samples",
        "Samples of each class (100), of each condition (1000 of arrays), or colorings of each "
        "image (8).",
    )
    flags.number("temperature", "Factor on the latents of the samples, 0 or more (1).")
    flags.integer("seed", "Of the samples and of the classifier that judges them (0).")
    return flags


def _sample() -> Flags:
    """Draw samples of a trained flow into a picture or an array file.

    tfp-cinn sample --workdir=runs/digits --cond=3 --num_samples=64 --output=x.png
    """
    flags = Flags("tfp_cinn.tasks.sample", _HELP)
    flags.path("workdir", required=True)
    flags.list("cond")
    flags.integer("num_samples", "Samples of each condition.", 12)
    flags.number("temperature", default=1.0)
    flags.integer("seed", default=0)
    flags.path(
        "output", ".npz, .png or what else the task can write; a file in WORKDIR if not given."
    )
    flags.path("truth", "Of arrays: .npy or .npz of the true x, to be marked in pictures.")
    return flags


def _explore() -> Flags:
    """Draw what the latent space of a trained flow holds, a picture for each tool.

    tfp-cinn explore --workdir=runs/digits --what=interpolation,transfer --output=pictures

    docs/latent.md explains the pictures.
    """
    flags = Flags("tfp_cinn.tasks.explore", _HELP)
    flags.path("workdir", required=True)
    flags.list(
        "what",
        "Of interpolation, transfer, temperature, walks, scales, likelihood and foreign; all that "
        "fit the run if not given.",
    )
    flags.path("output", "Folder to write; WORKDIR/explore if not given.")
    flags.list("cond", "Classes, photographs, or a file of conditions; held-out ones if not given.")
    flags.path("idx_dir")
    flags.path("folder")
    flags.integer("seed", default=0)
    flags.integer(
        "steps", "Images of an interpolation or a walk.", 7, lower_bound=2, upper_bound=50
    )
    flags.integer("num_examples", "Held-out examples to judge, at most.", 1000, lower_bound=2)
    return flags


def _export() -> Flags:
    """Export a trained flow as a version that TensorFlow Serving can load.

    tfp-cinn export --workdir=runs/digits --output=models/digits
    """
    flags = Flags("tfp_cinn.export.export_run", _HELP)
    flags.path("workdir", required=True)
    flags.path(
        "output", "Folder of the model's versions, MODELS/NAME; NAME is served.", required=True
    )
    flags.integer("version", "The version to write; the one after the highest if not given.")
    flags.list(
        "batch_sizes",
        "Rows a server may batch, increasing, at most 100 sizes. Otherwise 1,4,16,64, and 1 for "
        "photographs.",
    )
    flags.boolean(
        "xla", "Compile with XLA; a server needs --xla_cpu_compilation_enabled or its like.", False
    )
    flags.string(
        "bad_rows",
        "How a row that can't be answered comes back: as NaN (nan), or as 0 beside a flag (flag), "
        "for JSON.",
        "nan",
    )
    flags.boolean(
        "stablehlo",
        "Also write StableHLO, which JAX runs without TensorFlow; see docs/gpu.md.",
        False,
    )
    return flags


def _client() -> Flags:
    """Ask a TensorFlow Serving, or an exported model without a server, for samples.

    tfp-cinn client --server=localhost:8500 --model=digits --cond=7 --output=grid.png
    tfp-cinn client --saved_model=models/digits --cond=7 --output=grid.png
    """
    flags = Flags("tfp_cinn.client.ask.ask_for_samples", _HELP)
    flags.string("server", "host:port of a server, its port of gRPC; or give --saved_model.")
    flags.path("saved_model", "MODELS/NAME or a version's folder, to answer here without a server.")
    flags.string("model", "The name that the server knows the model by.")
    flags.integer(
        "version", "The version to ask; the server's choice, or the newest, if not given."
    )
    flags.string("label", "The label of the version to ask, such as canary.")
    flags.list("cond")
    flags.integer("num_samples", "Samples of each condition.", 16)
    flags.number("temperature", default=1.0)
    flags.integer("seed", default=0)
    flags.path("output", ".npz, .png or what else the task can write.", required=True)
    flags.number("timeout", "Seconds a request may take; 10 if not given.")
    flags.boolean("tls", "Speak TLS with the server.")
    return flags


def _pretrain() -> Flags:
    """Train the conditioner of an image's colors to predict these, without a flow.

    tfp-cinn pretrain --config=photos --output=runs/conditioner.weights.h5
    """
    flags = Flags("tfp_cinn.training.pretrain")
    flags.config()
    flags.path("output", "File for the weights.", required=True)
    flags.integer("epochs", "How often to go through the data.", 10)
    return flags


def _import_freia() -> Flags:
    """Make a training run's folder of weights that were trained with FrEIA on PyTorch.

    tfp-cinn import-freia --config=mnist_paper --weights=mnist.pt --workdir=runs/paper
    """
    flags = Flags("tfp_cinn.training.import_run_from_freia")
    flags.config()
    flags.path("weights", "File that torch.save wrote.", required=True)
    flags.path("workdir", "Folder to make.", required=True)
    return flags


VERBS = {
    "train": _train,
    "evaluate": _evaluate,
    "sample": _sample,
    "explore": _explore,
    "export": _export,
    "client": _client,
    "pretrain": _pretrain,
    "import-freia": _import_freia,
}
"""The functions that make the flags of each verb."""
