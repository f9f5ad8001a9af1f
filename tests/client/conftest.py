import pytest
import tensorflow as tf
from stand_in import StandIn

from tfp_cinn.client import connect


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """A model that another program exported."""
    folder = tmp_path_factory.mktemp("models") / "foreign"
    module = tf.Module()
    module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(folder / "3"), {"serving_default": module.f})
    return folder


@pytest.fixture
def stand_in(exported, foreign):
    """A stand-in of this test's own: requests that another test gave up don't reach it."""
    models = {"digits": exported.path.parent, "foreign": foreign}
    with StandIn(models, labels={"canary": 1}) as stand_in:
        yield stand_in


@pytest.fixture(params=["grpc", "rest"])
def protocol(request):
    return request.param


@pytest.fixture
def ask(stand_in, protocol):
    """Makes clients of the stand-in."""
    clients = []

    def ask(**kwargs):
        address = {"grpc": stand_in.grpc, "rest": stand_in.rest}[protocol]
        clients.append(
            connect(**{"server": address, "model": "digits"} | kwargs, protocol=protocol)
        )
        return clients[-1]

    yield ask
    for client in clients:
        client.close()
