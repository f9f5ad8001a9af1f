"""Exports a trained flow as a version that TensorFlow Serving can load.

python bin/export.py --workdir=runs/digits --output=models/digits
"""

from absl import flags

from tfp_cinn import export
from tfp_cinn.cli import app
from tfp_cinn.export.export import BAD_ROWS

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the model's versions, MODELS/NAME; NAME is served.", required=True
)
_VERSION = flags.DEFINE_integer(
    "version", None, "The version to write; the one after the highest there if not given."
)
_BATCH_SIZES = flags.DEFINE_list(
    "batch_sizes",
    None,
    f"Rows a server may batch, increasing, at most 100 sizes. Otherwise "
    f"{','.join(map(str, export.BATCH_SIZES))}, and 1 for photographs.",
)
_XLA = flags.DEFINE_bool(
    "xla", False, "Compile with XLA; a server needs --xla_cpu_compilation_enabled or its like."
)
_BAD_ROWS = flags.DEFINE_enum(
    "bad_rows",
    "nan",
    BAD_ROWS,
    "How a row that can't be answered comes back: as NaN, or as 0 beside a flag, for JSON.",
)


def main(_):
    export.export_run(
        _WORKDIR.value,
        _OUTPUT.value,
        version=_VERSION.value,
        batch_sizes=_BATCH_SIZES.value,
        xla=_XLA.value,
        bad_rows=_BAD_ROWS.value,
    )


if __name__ == "__main__":
    app.run(main)
