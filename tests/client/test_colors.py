"""Photographs colored by an exported model."""

import json

import numpy as np
import pytest
from PIL import Image

from tfp_cinn import UsageError
from tfp_cinn.client import ask as run
from tfp_cinn.client.base import Client

ROW = {"dtype": "float32", "meaning": ""}


class Painter(Client):
    """Stands in for a model: paints everything in the hue of its seed."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def __str__(self):
        return "painter"

    def close(self):
        pass

    def _ask(self, signature, inputs):
        if signature == "card":
            signatures = {
                "colorize": {
                    "inputs": {
                        "gray": ROW | {"shape": [None, None, None, 1]},
                        "seed": {"dtype": "int32", "shape": [None, 2], "meaning": ""},
                        "temperature": ROW | {"shape": [None]},
                    },
                    "outputs": {"rgb": ROW | {"shape": [None, None, None, 3]}},
                }
            }
            signatures["sample"] = {
                "inputs": {
                    "cond": ROW | {"shape": [None, 8, 8, 1]},
                    **{
                        key: signatures["colorize"]["inputs"][key]
                        for key in ("seed", "temperature")
                    },
                },
                "outputs": {"x": ROW | {"shape": [None, 8, 8, 2]}},
            }
            signatures["log_prob"] = signatures["sample"]
            card = {"kind": "colorization", "dataset": "photographs", "version": 1}
            card = json.dumps(card | {"batch_sizes": [1, 4], "signatures": signatures})
            return {"card": np.array([card.encode()], object)}
        self.asked.append(inputs)
        hue = np.random.RandomState(abs(int(inputs["seed"][0, 0]))).rand(3).astype("float32")
        return {"rgb": inputs["gray"] * hue}


@pytest.fixture
def painter(monkeypatch):
    painter = Painter()
    monkeypatch.setattr(run, "open_local", lambda path, version: painter)
    return painter


def test_photographs_of_any_size_are_colored_and_only_lightness_goes_out(painter, tmp_path, capsys):
    rng = np.random.RandomState(0)
    for name, size in (("a.png", (20, 30)), ("b.jpg", (41, 17))):
        Image.fromarray(rng.randint(0, 256, (*size, 3)).astype("uint8")).save(tmp_path / name)
    cond = [str(tmp_path / name) for name in ("a.png", "b.jpg")]
    run.ask_for_samples(saved_model="m", cond=cond, num_samples=3, output=tmp_path / "x.npz")
    assert [asked["gray"].shape for asked in painter.asked] == [(1, 20, 30, 1)] * 3 + [
        (1, 41, 17, 1)
    ] * 3
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["rgb_0"].shape == (3, 20, 30, 3) and arrays["rgb_1"].shape == (3, 41, 17, 3)
        assert len(np.unique(arrays["rgb_0"].reshape(3, -1), axis=0)) == 3
    assert "6 requests, 6 rows" in capsys.readouterr().out
    sheet = run.ask_for_samples(
        saved_model="m", cond=cond, num_samples=2, output=tmp_path / "x.png"
    )
    assert Image.open(sheet).size[0] > 300


def test_wrong_images_are_refused_before_anything_is_asked(painter, tmp_path):
    for cond, message in (
        (None, "expected image files"),
        (["7"], "7: can't be read as an image .No such file"),
    ):
        with pytest.raises(UsageError, match=message):
            run.ask_for_samples(saved_model="m", cond=cond, output=tmp_path / "x.png")
    assert not painter.asked and not list(tmp_path.iterdir())


def test_answers_of_another_size_are_refused(painter, monkeypatch):
    inputs = {"gray": np.zeros((2, 5, 5, 1)), "seed": np.zeros((2, 2), int), "temperature": [1, 1]}
    assert painter.predict("colorize", inputs)["rgb"].shape == (2, 5, 5, 3)
    with pytest.raises(UsageError, match=r"expected float32 \[N, H, W, 1\], got"):
        painter.predict("colorize", inputs | {"gray": np.zeros((2, 5, 5, 3))})
    monkeypatch.setattr(painter, "_ask", lambda *_: {"rgb": np.zeros((2, 5, 5, 4), "float32")})
    with pytest.raises(UsageError, match="an answer of 2 rows of rgb"):
        painter.predict("colorize", inputs)
