"""Ask a TensorFlow Serving, or an exported model without a server, for samples.

tfp-cinn client --server=localhost:8500 --model=digits --cond=7 --output=grid.png
tfp-cinn client --saved_model=models/digits --cond=7 --output=grid.png
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.string("server", "host:port of a server; or give --saved_model.")
FLAGS.path("saved_model", "MODELS/NAME or a version's folder, to answer here without a server.")
FLAGS.string("protocol", "How the server is asked, grpc or rest; grpc if not given.")
FLAGS.string("model", "The name that the server knows the model by.")
FLAGS.integer("version", "The version to ask; the server's choice, or the newest, if not given.")
FLAGS.string("label", "The label of the version to ask, such as canary.")
FLAGS.list(
    "cond",
    "Classes by number or name, all if not given; image files to color; or a .npy, .npz file.",
)
FLAGS.integer("num_samples", "Samples of each condition.", 16, lower_bound=1)
FLAGS.number("temperature", "Factor on the latents, 0 or more.", 1.0)
FLAGS.integer("seed", "The same seed gives the same samples.", 0, lower_bound=0)
FLAGS.path("output", ".npz, .png or what else the task can write.", required=True)
FLAGS.number("timeout", "Seconds a request may take; 10 if not given.")
FLAGS.boolean("tls", "Speak TLS with the server.")


def main(**given):
    """See `tfp_cinn.client.ask.ask_for_samples`."""
    from tfp_cinn.client.ask import ask_for_samples

    ask_for_samples(**given)
