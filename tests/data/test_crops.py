"""Crops: where they are cut, how often, and that they can be had again."""

import gc

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tests.helpers.synthetic_photos import encode, write_folder
from tfp_cinn import data
from tfp_cinn.data import PhotoSplit, evaluation_crops, training_crops
from tfp_cinn.errors import UsageError

SIZE = 8
# Rows and columns; the last two differ in area by a factor of 8.
SHAPES = [(8, 8), (9, 31), (40, 17), (16, 16), (64, 32)]


def numbered(photo, height, width):
    """Pixels that say where they are: photo and row, column, and a channel that is neither."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([32 * photo + rows % 32, columns, 200 - rows], -1).astype(np.uint8)


IMAGES = [numbered(k, *shape) for k, shape in enumerate(SHAPES)]


def on_disk(tmp_path, cache_bytes):
    for k, image in enumerate(IMAGES):
        (tmp_path / f"{k}.png").write_bytes(encode(image))
    options = {"validation_fraction": 0, "test_fraction": 0, "cache_bytes": cache_bytes}
    return data.load_photos(tmp_path, size=SIZE, downscale=1, **options).train


@pytest.fixture(scope="module", params=["cached", "streamed", "unknown"])
def split(request, tmp_path_factory):
    """The same photos in memory, read from disk, and of unknown shapes."""
    held = on_disk(tmp_path_factory.mktemp("photos"), 1 << 30 if request.param == "cached" else 0)
    assert (held.pixels is None) == (request.param != "cached")
    return PhotoSplit(SIZE, held.stream) if request.param == "unknown" else held


def epoch(dataset):
    return np.concatenate([*dataset.as_numpy_iterator()])


def levels(crops):
    exact = crops.astype(np.float64) * 255
    rounded = np.round(exact)
    # float32 holds k / 255 to half an ulp, 6e-8 of it.
    np.testing.assert_allclose(exact, rounded, atol=255 * 6e-8)
    return rounded.astype(int)


def locate(crop):
    """Photo, row, column and whether mirrored, by the number in the first corner."""
    mirrored = crop[0, 0, 1] > crop[0, -1, 1]
    straight = crop[:, ::-1] if mirrored else crop
    row, column = 200 - straight[0, 0, 2], straight[0, 0, 1]
    photo = (straight[0, 0, 0] - row % 32) // 32
    np.testing.assert_array_equal(straight, IMAGES[photo][row : row + SIZE, column : column + SIZE])
    return photo, row, column, mirrored


COUNTS = [height * width // SIZE**2 for height, width in SHAPES]
TOTAL = sum(COUNTS)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_an_epoch_of_training_takes_crops_by_area(split, batch_size):
    dataset = training_crops(split, batch_size)
    if split.shapes is not None:
        assert len(dataset) == TOTAL // batch_size
    for _ in range(2):
        batches = [*dataset.as_numpy_iterator()]
        assert [len(batch) for batch in batches] == [batch_size] * (TOTAL // batch_size)
        places = [locate(crop) for crop in levels(np.concatenate(batches))]
        counts = np.bincount([photo for photo, *_ in places], minlength=len(SHAPES))
        assert (counts <= COUNTS).all()  # what doesn't fill a batch is dropped
        if batch_size == 1:
            assert counts.tolist() == COUNTS
            order = [photo for photo, *_ in places]
            assert np.count_nonzero(np.diff(order)) > len(SHAPES)  # mixed


def test_training_crops_are_anywhere_and_mirrored_by_half(split):
    dataset = training_crops(split, TOTAL).repeat(25)
    places = [locate(crop) for crop in levels(epoch(dataset))]
    for photo, (height, width) in enumerate(SHAPES):
        rows, columns, mirrored = np.array([place[1:] for place in places if place[0] == photo]).T
        for seen, most in ((rows, height - SIZE), (columns, width - SIZE)):
            assert seen.min() == 0 and seen.max() == most
            # The mean of a uniform whole number in 0 .. most, to five standard errors.
            error = np.sqrt(((most + 1) ** 2 - 1) / 12 / len(seen))
            assert abs(seen.mean() - most / 2) <= 5 * error
        assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(mirrored))


def test_training_is_a_function_of_the_seed(split):
    tf.random.set_seed(1)
    first = training_crops(split, 7, seed=7)
    epochs = [epoch(first) for _ in range(3)]
    tf.random.set_seed(2)
    state = np.random.get_state()[1].copy()
    second = training_crops(split, 7, seed=7)
    gc.collect()  # what counts the epochs must live as long as the data set
    for one in epochs:
        np.testing.assert_array_equal(epoch(second), one)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    # Photo 0 has one place and four of its crops in 56 look alike.
    assert (epochs[0] == epochs[1]).all((1, 2, 3)).mean() < 0.2
    for other in (8, -7, 2**70):
        assert not np.array_equal(epoch(training_crops(split, 7, seed=other)), epochs[0])


def test_evaluation_covers_a_grid(split):
    dataset = evaluation_crops(split, 6)
    places = [locate(crop) for crop in levels(epoch(dataset))]
    expected = [(h // SIZE) * (w // SIZE) for h, w in SHAPES]
    assert np.bincount([photo for photo, *_ in places]).tolist() == expected
    assert not any(mirrored for *_, mirrored in places)
    # (40, 17): five rows that fill it, two columns with one pixel to share.
    assert [(int(row), int(column)) for photo, row, column, _ in places if photo == 2] == [
        (row, column) for row in range(0, 40, 8) for column in (0, 8)
    ]
    if split.shapes is not None:
        assert len(dataset) == -(-sum(expected) // 6)


def test_an_epoch_is_a_function_of_its_number_and_batches_have_their_own(split):
    whole = epoch(training_crops(split, 7, seed=3).repeat(3))
    for number in (0, 2):
        crops = epoch(training_crops(split, 7, seed=3, epoch=number))
        np.testing.assert_array_equal(crops, whole[number * len(crops) :][: len(crops)])
    numbers = [int(n) for _, n in training_crops(split, 7, numbered=True).repeat(3)]
    assert len(set(numbers)) == len(numbers) == 3 * (TOTAL // 7)
    second = [int(n) for _, n in training_crops(split, 7, numbered=True, epoch=1)]
    assert second == numbers[TOTAL // 7 :][: TOTAL // 7]


def test_evaluation_is_always_alike(split):
    reference = epoch(evaluation_crops(split, 6))
    for batch_size in (1, 6, 1000):
        np.testing.assert_array_equal(epoch(evaluation_crops(split, batch_size)), reference)


def test_evaluation_says_of_which_photo_a_crop_is(split):
    batches = list(evaluation_crops(split, 4, numbered=True).as_numpy_iterator())
    crops, numbers = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(crops, epoch(evaluation_crops(split, 5)))
    # Photos know their own number, and a split has its own order of them.
    photos = [locate(crop)[0] for crop in levels(crops)]
    order = list(dict.fromkeys(photos))
    np.testing.assert_array_equal([order[number] for number in numbers], photos)
    assert sorted(set(numbers)) == list(range(len(SHAPES)))


def test_evaluation_of_the_center(split):
    places = [locate(crop) for crop in levels(epoch(evaluation_crops(split, 4, per_photo=1)))]
    found = {int(photo): (row, column) for photo, row, column, _ in places}
    assert len(places) == len(SHAPES)
    assert found == {k: ((h - SIZE) // 2, (w - SIZE) // 2) for k, (h, w) in enumerate(SHAPES)}


@hypothesis.settings(deadline=None, max_examples=15)
@hypothesis.given(
    height=st.integers(SIZE, 70), width=st.integers(SIZE, 70), most=st.integers(1, 80) | st.none()
)
def test_evaluation_crops_never_overlap(height, width, most):
    image = tf.constant(numbered(0, height, width))
    crude = PhotoSplit(SIZE, lambda _: tf.data.Dataset.from_tensors(image))
    crops = levels(epoch(evaluation_crops(crude, 100, per_photo=most)))
    fit = (height // SIZE) * (width // SIZE)
    assert 1 <= len(crops) <= min(most or fit, fit)
    if most is None:
        assert len(crops) == fit
    covered = np.zeros((height, width), int)
    for crop in crops:
        row, column = 200 - crop[0, 0, 2], crop[0, 0, 1]
        expected = image[row : row + SIZE, column : column + SIZE]
        np.testing.assert_array_equal(crop, expected)
        covered[row : row + SIZE, column : column + SIZE] += 1
    assert covered.max() == 1
    known = PhotoSplit(SIZE, crude.stream, shapes=np.array([[height, width]]))
    assert len(evaluation_crops(known, 1, per_photo=most)) == len(crops)


def test_evaluation_of_nothing(tmp_path):
    write_folder(tmp_path, 4)
    options = {"size": SIZE, "validation_fraction": 0, "test_fraction": 0}
    empty = data.load_photos(tmp_path, **options).test
    dataset = evaluation_crops(empty, 3)
    assert len(dataset) == 0 and [*dataset] == []
    with pytest.raises(UsageError, match="0 photos has 0 crops"):
        training_crops(empty, 1)


def test_a_batch_larger_than_an_epoch(split):
    if split.shapes is None:
        assert [*training_crops(split, TOTAL + 1)] == []
    else:
        with pytest.raises(
            UsageError, match=f"{TOTAL + 1}.*{len(SHAPES)} photos has {TOTAL} crops"
        ):
            training_crops(split, TOTAL + 1)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (training_crops, {"batch_size": 0}, "batch_size is 0,"),
        (evaluation_crops, {"batch_size": -3}, "batch_size is -3,"),
        (evaluation_crops, {"batch_size": 1, "per_photo": 0}, "per_photo is 0,"),
    ],
)
def test_wrong_arguments(split, build, arguments, message):
    with pytest.raises(UsageError, match=message):
        build(split, **arguments)
