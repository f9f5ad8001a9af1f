"""TLS: trusted, not trusted, and where only one side speaks it."""

import pytest
import trustme

from tests.helpers.small_server import SmallServer
from tfp_cinn import UsageError
from tfp_cinn.client import connect


@pytest.fixture(scope="module", autouse=True)
def authority(tmp_path_factory):
    """An authority that this process trusts; gRPC looks but once."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(path))
        patch.setenv("REQUESTS_CA_BUNDLE", str(path))
        yield authority


def secure(exported, authority, path):
    certificate = authority.issue_cert("127.0.0.1")
    key, chain = path / "key.pem", path / "certificate.pem"
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    return SmallServer(exported.path, certificate=(key, chain))


def card(server, protocol, tls):
    address = server.addresses[protocol]
    with connect(address, protocol, model="digits", tls=tls) as client:
        return client.card()


def test_a_trusted_server_answers(exported, authority, tmp_path, protocol):
    with secure(exported, authority, tmp_path) as server:
        assert card(server, protocol, tls=True)["name"] == "digits"
        with pytest.raises(UsageError, match="whether it wants TLS"):
            card(server, protocol, tls=False)


def test_a_server_that_is_not_trusted_is_refused(exported, tmp_path, protocol):
    with secure(exported, trustme.CA(), tmp_path) as server:
        with pytest.raises(UsageError, match="(?i)certificate.?verify.?failed"):
            card(server, protocol, tls=True)
        assert not server.asked
