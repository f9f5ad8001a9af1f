"""Asks a TensorFlow Serving, or an exported model without a server, for samples.

python bin/client.py --server=localhost:8500 --model=digits --cond=7 --output=grid.png
python bin/client.py --saved_model=models/digits --cond=7 --output=grid.png
"""

from absl import flags

from tfp_cinn.cli import app
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.client.connection import PROTOCOLS

_SERVER = flags.DEFINE_string("server", None, "host:port of a server; or give --saved_model.")
_SAVED_MODEL = flags.DEFINE_string(
    "saved_model", None, "MODELS/NAME or a version's folder, to answer here without a server."
)
_PROTOCOL = flags.DEFINE_enum(
    "protocol", None, list(PROTOCOLS), "How the server is asked; grpc if not given."
)
_MODEL = flags.DEFINE_string("model", None, "The name that the server knows the model by.")
_VERSION = flags.DEFINE_integer(
    "version", None, "The version to ask; the server's choice, or the newest, if not given."
)
_LABEL = flags.DEFINE_string("label", None, "The label of the version to ask, such as canary.")
_COND = flags.DEFINE_list("cond", None, "Classes by number or name, all if not given; or images.")
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 16, "Samples of each condition.", lower_bound=1)
_TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "Factor on the latents, 0 or more.")
_SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same samples.", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, ".png or .npz to write.", required=True)
_TIMEOUT = flags.DEFINE_float("timeout", None, "Seconds a request may take; 10 if not given.")
_TLS = flags.DEFINE_bool("tls", None, "Speak TLS with the server.")


def main(_):
    ask_for_samples(
        server=_SERVER.value,
        saved_model=_SAVED_MODEL.value,
        protocol=_PROTOCOL.value,
        model=_MODEL.value,
        version=_VERSION.value,
        label=_LABEL.value,
        cond=_COND.value,
        num_samples=_NUM_SAMPLES.value,
        temperature=_TEMPERATURE.value,
        seed=_SEED.value,
        output=_OUTPUT.value,
        timeout=_TIMEOUT.value,
        tls=_TLS.value,
    )


if __name__ == "__main__":
    app.run(main)
