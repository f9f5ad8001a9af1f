"""Export a trained flow as a version that TensorFlow Serving can load.

tfp-cinn export --workdir=runs/digits --output=models/digits
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.path("workdir", "Folder of a training run.", required=True)
FLAGS.path("output", "Folder of the model's versions, MODELS/NAME; NAME is served.", required=True)
FLAGS.integer("version", "The version to write; the one after the highest there if not given.")
FLAGS.list(
    "batch_sizes",
    "Rows a server may batch, increasing, at most 100 sizes. Otherwise 1,4,16,64, and 1 for "
    "photographs.",
)
FLAGS.boolean(
    "xla", "Compile with XLA; a server needs --xla_cpu_compilation_enabled or its like.", False
)
FLAGS.string(
    "bad_rows",
    "How a row that can't be answered comes back: as NaN (nan), or as 0 beside a flag (flag), for "
    "JSON.",
    "nan",
)
FLAGS.boolean(
    "stablehlo", "Also write StableHLO, which JAX runs without TensorFlow; see docs/gpu.md.", False
)


def main(workdir, output, **options):
    """See `tfp_cinn.export.export_run`."""
    from tfp_cinn.export import export_run

    export_run(workdir, output, **options)
