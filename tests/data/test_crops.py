"""Crops: where they are cut, how often, and that they can be had again."""

import gc

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tests.helpers.synthetic_photos import encode
from tfp_cinn import data
from tfp_cinn.data import PhotoSplit, evaluation_crops, training_crops
from tfp_cinn.errors import UsageError

SIZE = 8
# Rows and columns; the last two differ in area by a factor of 8.
SHAPES = [(8, 8), (9, 31), (40, 17), (16, 16), (64, 32)]
COUNTS = [height * width // SIZE**2 for height, width in SHAPES]
TOTAL = sum(COUNTS)


def numbered(photo, height, width):
    """Pixels that say where they are: photo and row, column, and a channel that is neither."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([32 * photo + rows % 32, columns, 200 - rows], -1).astype(np.uint8)


IMAGES = [numbered(k, *shape) for k, shape in enumerate(SHAPES)]


@pytest.fixture(scope="module", params=["known", "unknown"])
def split(request, tmp_path_factory):
    """Photos from files, and the same of unknown shapes."""
    folder = tmp_path_factory.mktemp("photos")
    for k, image in enumerate(IMAGES):
        (folder / f"{k}.png").write_bytes(encode(image))
    options = {"validation_fraction": 0, "test_fraction": 0}
    held = data.load_photos(folder, size=SIZE, downscale=1, **options).train
    return PhotoSplit(SIZE, held.stream) if request.param == "unknown" else held


def epoch(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True)]


def crops_of(dataset):
    """The crops of some epochs, as levels."""
    exact = np.concatenate([rgb for rgb, _ in dataset.as_numpy_iterator()]).astype(np.float64) * 255
    # float32 holds k / 255 to half an ulp, 6e-8 of it.
    np.testing.assert_allclose(exact, np.round(exact), atol=255 * 6e-8)
    return np.round(exact).astype(int)


def locate(crop):
    """Photo, row, column and whether mirrored, by the number in the first corner."""
    mirrored = crop[0, 0, 1] > crop[0, -1, 1]
    straight = crop[:, ::-1] if mirrored else crop
    row, column = 200 - straight[0, 0, 2], straight[0, 0, 1]
    photo = (straight[0, 0, 0] - row % 32) // 32
    np.testing.assert_array_equal(straight, IMAGES[photo][row : row + SIZE, column : column + SIZE])
    return photo, row, column, mirrored


@pytest.mark.parametrize("batch_size", [1, 7])
def test_an_epoch_of_training_takes_crops_by_area(split, batch_size):
    dataset = training_crops(split, batch_size)
    if split.shapes is not None:
        assert len(dataset) == TOTAL // batch_size
    crops = crops_of(dataset)
    assert len(crops) == TOTAL // batch_size * batch_size
    order = [locate(crop)[0] for crop in crops]
    counts = np.bincount(order, minlength=len(SHAPES))
    assert (counts <= COUNTS).all()  # what doesn't fill a batch is dropped
    assert np.count_nonzero(np.diff(order)) > len(SHAPES)  # mixed


def test_training_crops_are_anywhere_and_mirrored_by_half(split):
    places = [locate(crop) for crop in crops_of(training_crops(split, TOTAL).repeat(25))]
    for photo, (height, width) in enumerate(SHAPES):
        rows, columns, mirrored = np.array([place[1:] for place in places if place[0] == photo]).T
        for seen, most in ((rows, height - SIZE), (columns, width - SIZE)):
            assert seen.min() == 0 and seen.max() == most
            # The mean of a uniform whole number in 0 .. most, to five standard errors.
            error = np.sqrt(((most + 1) ** 2 - 1) / 12 / len(seen))
            assert abs(seen.mean() - most / 2) <= 5 * error
        assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(mirrored))


def test_training_is_a_function_of_seed_and_epoch(split):
    tf.random.set_seed(1)
    first, second = (training_crops(split, 7, seed=7) for _ in range(2))
    gc.collect()  # what counts the epochs must live as long as the data set
    epochs = [list(first.as_numpy_iterator()) for _ in range(2)]
    tf.random.set_seed(2)
    for number, one in enumerate(epochs):
        for again in (second, training_crops(split, 7, seed=7, epoch=number)):
            for (rgb, key), (same, same_key) in zip(one, again, strict=True):
                np.testing.assert_array_equal(rgb, same)
                np.testing.assert_array_equal(key, same_key)
    keys = {tuple(key) for one in epochs for _, key in one}
    assert len(keys) == 2 * (TOTAL // 7)
    rgb = [np.concatenate([rgb for rgb, _ in one]) for one in epochs]
    # Photo 0 has one place and four of its crops in 56 look alike.
    assert (rgb[0] == rgb[1]).all((1, 2, 3)).mean() < 0.2
    other = np.concatenate([rgb for rgb, _ in training_crops(split, 7, seed=2**70)])
    assert not np.array_equal(other, rgb[0])


def test_evaluation_covers_a_grid_and_says_which_photo_a_crop_is_of(split):
    dataset = evaluation_crops(split, 6)
    rgb, numbers = epoch(dataset)
    places = [locate(crop) for crop in crops_of(dataset)]
    expected = [(h // SIZE) * (w // SIZE) for h, w in SHAPES]
    assert np.bincount([photo for photo, *_ in places]).tolist() == expected
    assert not any(mirrored for *_, mirrored in places)
    # (40, 17): five rows that fill it, two columns with one pixel to share.
    assert [(int(row), int(column)) for photo, row, column, _ in places if photo == 2] == [
        (row, column) for row in range(0, 40, 8) for column in (0, 8)
    ]
    if split.shapes is not None:
        assert len(dataset) == -(-sum(expected) // 6)
    # A split has an order of its own.
    order = list(dict.fromkeys(photo for photo, *_ in places))
    assert [order[number] for number in numbers] == [photo for photo, *_ in places]
    for batch_size in (1, 1000):
        np.testing.assert_array_equal(epoch(evaluation_crops(split, batch_size))[0], rgb)


@hypothesis.settings(deadline=None, max_examples=6)
@hypothesis.given(
    height=st.integers(SIZE, 70), width=st.integers(SIZE, 70), most=st.integers(1, 80) | st.none()
)
@hypothesis.example(height=17, width=30, most=1)
def test_evaluation_crops_never_overlap(height, width, most):
    image = tf.constant(numbered(0, height, width))
    shapes = np.array([[height, width]])
    split = PhotoSplit(SIZE, lambda _: tf.data.Dataset.from_tensors(image), shapes=shapes)
    dataset = evaluation_crops(split, 1, per_photo=most)
    crops = crops_of(dataset)
    fit = (height // SIZE) * (width // SIZE)
    assert 1 <= len(crops) == len(dataset) <= min(most or fit, fit)
    if most is None:
        assert len(crops) == fit
    covered = np.zeros((height, width), int)
    for crop in crops:
        row, column = 200 - crop[0, 0, 2], crop[0, 0, 1]
        if most == 1:
            assert (row, column) == ((height - SIZE) // 2, (width - SIZE) // 2)
        np.testing.assert_array_equal(crop, image[row : row + SIZE, column : column + SIZE])
        covered[row : row + SIZE, column : column + SIZE] += 1
    assert covered.max() == 1


def test_of_nothing_there_is_nothing():
    empty = data.no_photos("none", SIZE).test
    assert list(evaluation_crops(empty, 3)) == []


def test_wrong_arguments(split):
    if split.shapes is not None:
        with pytest.raises(UsageError, match=f"is {TOTAL + 1}, expected .*at most {TOTAL}"):
            training_crops(split, TOTAL + 1)
    with pytest.raises(UsageError, match="per_photo is 0,"):
        evaluation_crops(split, 1, per_photo=0)
