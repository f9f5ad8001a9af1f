"""Networks that judge colorings, by what they see in photographs."""

import importlib.util
import pathlib

import numpy as np
import pytest
from PIL import Image

from tfp_cinn import UsageError
from tfp_cinn.color import lab_to_rgb, rgb_to_lab
from tfp_cinn.metrics import feature_network
from tfp_cinn.metrics.feature_network import (
    FeatureNetwork,
    efficientnet_lite0,
    find_efficientnet_lite0,
)


@pytest.fixture(scope="module")
def lite0():
    if find_efficientnet_lite0() is None:
        pytest.skip("the extra 'evaluation' isn't installed")
    return efficientnet_lite0()


@pytest.fixture(scope="module")
def photographs():
    """Twenty of ImageNet, the shorter side 256 and of that the center, 224; and their classes."""
    spec = importlib.util.find_spec("foolbox")
    if spec is None:
        pytest.skip("foolbox, which has labeled photographs, isn't installed")
    files = sorted(pathlib.Path(spec.origin).parent.glob("data/imagenet_*.jpg"))
    images = []
    for file in files:
        image = Image.open(file).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize([round(scale * n) for n in image.size])
        left, top = ((n - 224) // 2 for n in image.size)
        images.append(np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255)
    return np.stack(images), np.array([int(file.stem.split("_")[-1]) for file in files])


def accuracies(network, images, classes):
    _, logits = network(images)
    above = (logits > logits[np.arange(len(classes)), classes][:, None]).sum(axis=1)
    return (above < 1).mean(), (above < 5).mean()


def test_photographs_are_recognized_and_in_gray_fewer(lite0, photographs):
    images, classes = photographs
    assert len(classes) == 20
    lab = rgb_to_lab(images).numpy() * [1, 0, 0]
    top1, top5 = accuracies(lite0, images, classes)
    # 18 and 19 of 20 when this was written: one photograph more or less is a matter of resizing.
    assert top1 >= 0.85 and top5 >= 0.9
    assert accuracies(lite0, lab_to_rgb(lab.astype("f4")), classes)[0] < top1


def test_it_computes_what_the_original_does(lite0):
    """Numbers that PyTorch's functions gave with the same weights, for slopes of red and green."""
    y, x = np.mgrid[:224, :224] / np.float32(223)
    features, logits = lite0(np.stack([y, x, 1 - y], axis=-1)[np.newaxis])
    assert features.shape == (1, 1280) and logits.shape == (1, 1000)
    assert features.dtype == logits.dtype == np.float32
    np.testing.assert_array_equal(np.argsort(-logits[0])[:5], [908, 818, 540, 782, 872])
    # float32 through 50 layers: two libraries agreed to 6e-6.
    expected = [4.276276, 4.120367, 3.924457, 3.759908, 3.742270]
    np.testing.assert_allclose(-np.sort(-logits[0])[:5], expected, atol=1e-4)
    np.testing.assert_allclose([features.mean(), features.std()], [0.081818, 0.379775], atol=1e-5)


def test_each_image_is_seen_by_itself_at_any_size(lite0):
    images = np.random.RandomState(0).uniform(size=(3, 40, 30, 3))
    features, logits = lite0(images)
    alone = [lite0(image[np.newaxis]) for image in images]
    np.testing.assert_allclose(features, np.concatenate([f for f, _ in alone]), atol=1e-5)
    np.testing.assert_allclose(logits, np.concatenate([x for _, x in alone]), atol=1e-5)


def test_images_are_smoothed_as_they_shrink():
    network = FeatureNetwork("eye", "fid_eye", 8, lambda rgb: (rgb, rgb))
    checks = np.indices((1, 64, 64, 3)).sum(axis=0) % 2
    np.testing.assert_allclose(network(checks)[0], np.full((1, 8, 8, 3), 0.5), atol=0.01)
    np.testing.assert_array_equal(network(checks[:, :8, :8])[0], checks[:, :8, :8])


def test_weights_of_another_checksum_are_refused(tmp_path, monkeypatch):
    (tmp_path / "other.pth").write_bytes(b"weights")
    monkeypatch.setattr(feature_network, "read_checkpoint", None)  # isn't even read
    with pytest.raises(UsageError, match="SHA-256 is 579344248a93.*got 9a129038d9a0") as caught:
        efficientnet_lite0(tmp_path / "other.pth")
    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_are_answered_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"nowhere.pth: can't be read \(No such file"):
        efficientnet_lite0(tmp_path / "nowhere.pth")
    monkeypatch.setattr(feature_network, "_PACKAGE", "no_such_package")
    assert find_efficientnet_lite0() is None
    with pytest.raises(UsageError, match="installed: pip install efficientnet-lite0"):
        efficientnet_lite0()
