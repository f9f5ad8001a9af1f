import numpy as np
import pytest
from matplotlib.figure import Figure

from tfp_cinn.plots.curves import draw_curve, draw_hues


def test_curve_is_drawn_with_and_without_validation(tmp_path):
    rows = [{"epoch": k, "bits_per_dim": 5.0 / k} for k in range(1, 9)]
    draw_curve(rows, tmp_path / "a.png")
    draw_curve([r | {"val_bits_per_dim": 1.0} for r in rows[:1]], tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == (tmp_path / "b.png").read_bytes()[:4]


@pytest.fixture
def axes(monkeypatch):
    """The axes of the figures that are saved."""
    saved = []
    save = Figure.savefig

    def savefig(figure, *args, **kwargs):
        saved.append(figure.axes[0])
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_curve_leaves_out_what_is_not_finite(tmp_path, axes, bad):
    rows = [{"epoch": k, "bits_per_dim": 5.0 - k, "val_bits_per_dim": bad} for k in range(4)]
    rows[2]["bits_per_dim"] = bad
    draw_curve(rows, tmp_path / "a.png")
    (line,) = axes[0].lines
    assert line.get_xydata().tolist() == [[0, 5], [1, 4], [3, 2]]
    assert axes[0].get_ylim()[0] < 2 < 5 < axes[0].get_ylim()[1]


@pytest.mark.parametrize("rows", [[], [{"epoch": 1}], [{"epoch": 1, "bits_per_dim": float("nan")}]])
def test_curve_of_nothing_is_an_empty_axis(tmp_path, axes, rows):
    draw_curve(rows, tmp_path / "a.png")
    assert not axes[0].lines
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_curve_shows_the_later_epochs_in_full(tmp_path, axes):
    rows = [{"epoch": k, "bits_per_dim": 100.0 if k < 2 else 3.0} for k in range(20)]
    draw_curve(rows, tmp_path / "a.png")
    assert axes[0].get_ylim()[1] < 4


def test_hues_are_drawn_by_class_beside_what_defines_them(tmp_path, axes):
    rng = np.random.RandomState(0)
    labels = np.repeat([0, 1], 200)
    defined = np.array([[[0.0, 20.0], [110.0, 30.0]], [[50.0, 10.0], [180.0, 20.0]]])
    hues = (defined[labels, :, 0] + defined[labels, :, 1] * rng.randn(400, 2)) % 360
    draw_hues(hues, hues[:, None], labels, defined, ["a", "b"], tmp_path / "h.png")
    first = axes[0]
    angles, normal = first.lines[0].get_xydata().T
    # Around red, half of the curve is at either end; it is a density over the circle.
    assert normal[0] == normal[-1] == normal.max()
    np.testing.assert_allclose(normal[:-1].sum(), 1, rtol=1e-3)
    assert len(first.figure.axes) == 4
    assert [t.get_text() for t in first.figure.axes[1].get_legend().get_texts()] == [
        "data", "samples", "as defined",
    ]  # fmt: skip
