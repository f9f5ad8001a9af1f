"""The client against a real TensorFlow Serving, where there is one.

    TFP_CINN_SERVING_ADDRESS=localhost:8500 python -m pytest tests/client/test_real_server.py

Its model is an exported class-conditional flow, served as `digits` unless
`TFP_CINN_SERVING_MODEL` gives another name.
"""

import os

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.client import connect

ADDRESS = os.environ.get("TFP_CINN_SERVING_ADDRESS")
MODEL = os.environ.get("TFP_CINN_SERVING_MODEL", "digits")

pytestmark = pytest.mark.skipif(
    not ADDRESS, reason="TFP_CINN_SERVING_ADDRESS isn't set: no real server is asked"
)


@pytest.mark.parametrize("rows", [0, 1, 7, 64, 150])
def test_answers_agree_with_each_other(rows):
    with connect(ADDRESS, model=MODEL) as client:
        cond = np.arange(rows) % len(client.card()["class_names"])
        seed = np.arange(2 * rows).reshape(rows, 2)
        draw = {"cond": cond, "seed": seed, "temperature": np.full(rows, 0.8)}
        x = client.predict("sample", draw)["x"]
        z = client.predict("encode", {"x": x, "cond": cond})["z"]
        again = client.predict("decode", {"z": z, "cond": cond})["x"]
        nats = client.predict("log_prob", {"x": x, "cond": cond})["log_prob"]
        assert nats.shape == (rows,) and np.isfinite(nats).all()
        scale = np.abs(x).max(initial=1.0)
        np.testing.assert_allclose(again, x, rtol=0, atol=1e-3 * scale)
        # One row at a time, and in one batch.
        for row in range(0, rows, 50):
            alone = {key: value[row : row + 1] for key, value in draw.items()}
            got = client.predict("sample", alone)["x"][0]
            np.testing.assert_allclose(got, x[row], rtol=0, atol=1e-3 * scale)


@pytest.mark.parametrize("choice", [{"model": f"no-{MODEL}"}, {"model": MODEL, "version": 2**40}])
def test_unknown_names_are_said(choice):
    with connect(ADDRESS, **choice) as client, pytest.raises(UsageError, match="not served"):
        client.card()
