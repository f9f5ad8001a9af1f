import pytest
import tensorflow as tf

from tests.helpers.small_server import SmallServer
from tfp_cinn.client import connect


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """A version of a model that another program exported."""
    path = tmp_path_factory.mktemp("models") / "foreign" / "1"
    module = tf.Module()
    module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(path), {"serving_default": module.f})
    return path


@pytest.fixture
def server(exported):
    with SmallServer(exported.path) as server:
        yield server


@pytest.fixture
def ask(server):
    """Makes clients of the server."""
    clients = []

    def ask(server=server.address, **kwargs):
        clients.append(connect(server, **{"model": "digits"} | kwargs))
        return clients[-1]

    yield ask
    for client in clients:
        client.close()
