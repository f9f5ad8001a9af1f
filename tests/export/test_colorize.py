"""The signature `colorize` of exported colorization models."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, Flatten, GlowCoupling, SoftPermutation, Standardize
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.color import split_lab, to_rgb
from tfp_cinn.export import export_model
from tfp_cinn.export.session import SavedModelSession
from tfp_cinn.export.signatures import noise
from tfp_cinn.networks import MLP


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 6, 1))
    features = keras.layers.Flatten()(keras.layers.Rescaling(0.02, -1.0)(image))
    flow = [Standardize([2.4, 7.4], [11.2, 16.8]), Flatten()]
    for k in range(2):
        flow += [SoftPermutation(k), GlowCoupling(MLP([16], init_std=0.3, zero_last=False))]
    return CINN(Chain(flow), (4, 3, 2), keras.Model(image, features), (8, 6, 1))


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    folder, facts = tmp_path_factory.mktemp("models") / "c", {"task": "colorization"}
    return export_model(model, folder, batch_sizes=[2], facts=facts)


@pytest.fixture(scope="module")
def session(path):
    with SavedModelSession(path) as session:
        yield session


def request(rows=3, height=21, width=11):
    rng = np.random.RandomState(0)
    return {
        "gray": rng.uniform(size=(rows, height, width, 1)).astype("float32"),
        "seed": rng.randint(0, 99, (rows, 2)).astype("int32"),
        "temperature": np.linspace(0.5, 1, rows).astype("float32"),
    }


def test_it_is_the_flow_at_its_own_resolution_and_color_at_the_images(model, session):
    inputs = request()
    rgb = session.predict("colorize", inputs)["rgb"]
    assert rgb.shape == (3, 21, 11, 3)
    parts = split_lab(np.repeat(inputs["gray"], 3, axis=-1), (8, 6))
    z = noise(tf.constant(inputs["seed"]), model.bijector.latent_shape, "float32")
    ab = model.distribution.decode(z * inputs["temperature"][:, None], parts.small_L)
    np.testing.assert_allclose(rgb, to_rgb(parts.L, ab), atol=1e-5)
    assert np.ptp(rgb, axis=-1).mean() > 0.02
    # Lightness stays what it was, where color doesn't leave sRGB.
    inside = ((rgb > 0) & (rgb < 1)).all(axis=-1)
    gray = split_lab(tf.constant(rgb), (1, 1)).L.numpy()[..., 0]
    np.testing.assert_allclose(gray[inside], parts.L.numpy()[..., 0][inside], atol=0.05)
    # A row by itself, and images of another size.
    alone = session.predict("colorize", {name: value[1:2] for name, value in inputs.items()})["rgb"]
    np.testing.assert_allclose(alone, rgb[1:2], atol=1e-5)
    assert session.predict("colorize", request(1, 8, 6))["rgb"].shape == (1, 8, 6, 3)

    # Bad rows harm no other.
    bad = request()
    bad["gray"][0, 3, 4] = 1.5
    bad["temperature"][2] = -1
    answer = session.predict("colorize", bad)["rgb"]
    assert np.isnan(answer[[0, 2]]).all()
    np.testing.assert_allclose(answer[1], rgb[1], atol=1e-5)
    with pytest.raises(Exception, match="at least 6 x 8 pixels"):
        session.predict("colorize", request(1, 7, 6))


def test_the_client_colors_photographs_of_any_size(path, tmp_path, capsys):
    rng, shapes = np.random.RandomState(0), {"a.png": (20, 30), "b.jpg": (41, 17)}
    for name, shape in shapes.items():
        Image.fromarray(rng.randint(0, 256, (*shape, 3)).astype("uint8")).save(tmp_path / name)
    cond = [str(tmp_path / name) for name in shapes]
    asked = {"saved_model": path, "cond": cond, "num_samples": 3}
    ask_for_samples(**asked, output=tmp_path / "x.npz")
    assert "6 requests, 6 rows" in capsys.readouterr().out
    with np.load(tmp_path / "x.npz") as arrays:
        for number, shape in enumerate(shapes.values()):
            rgb = arrays[f"rgb_{number}"]
            assert rgb.shape == (3, *shape, 3)
            assert len(np.unique(rgb.reshape(3, -1), axis=0)) == 3
    sheet = ask_for_samples(**asked, output=tmp_path / "x.png")
    assert Image.open(sheet).size[0] > 300
    for wrong, message in ((None, "expected image files"), (["7"], "7: can't be read as an image")):
        with pytest.raises(UsageError, match=message):
            ask_for_samples(saved_model=path, cond=wrong, output=tmp_path / "y.png")
    assert not (tmp_path / "y.png").exists()
