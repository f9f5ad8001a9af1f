"""Photographs prepared by TensorFlow Datasets."""

import numpy as np
import tensorflow as tf

from tfp_cinn.data import photo_files
from tfp_cinn.data.photos import Photos, PhotoSplit, check_crops
from tfp_cinn.data.prepared import open_prepared
from tfp_cinn.errors import UsageError


def load_prepared_photos(
    name: str,
    *,
    data_dir: str | None = None,
    size: int = 64,
    downscale: int = 2,
    num_validation: int = 1000,
) -> Photos:
    """Open photographs already prepared by TensorFlow Datasets, without the network.

    The test set is the published validation set, which published results use, or else the published
    test set; validation is the first part of the training set. Photos are read again at each use,
    in the stored order. Gray or too small ones (see `load_photos`) are skipped while reading, so
    their number isn't known in advance.

    Args:
        name: such as `lsun/bedroom`, `imagenet2012` or `coco/2017`: any set with color images.
        data_dir: the folder of TensorFlow Datasets; None for its default.
        size: rows and columns of the crops to take.
        downscale: 1 .. 16, as in `load_photos`.
        num_validation: number of training photos to hold out, 0 .. N_train-1.

    Raises:
        UsageError: the set isn't prepared, has no color images or lacks a split, or an argument is
            out of range.
    """
    check_crops(size, downscale)
    builder = open_prepared(name, data_dir)
    import tensorflow_datasets as tfds  # imported here because it takes seconds

    features = builder.info.features
    image = features["image"] if features and "image" in features else None
    colored = isinstance(image, tfds.features.Image) and image.shape[-1] == 3
    if not colored or image.np_dtype != np.uint8:
        raise UsageError(
            f"{name} has no color photographs, expected uint8 images of three channels, "
            f"found {image}: name another set"
        )
    sizes = {part: info.num_examples for part, info in builder.info.splits.items()}
    test = next((part for part in ("validation", "test") if sizes.get(part)), None)
    if not sizes.get("train") or test is None:
        raise UsageError(
            f"{name} has the splits {', '.join(sizes) or 'none'}, expected train and one of "
            "validation and test: name another set"
        )
    if num_validation not in range(sizes["train"]):
        raise UsageError(
            f"num_validation is {num_validation}, expected 0..{sizes['train'] - 1} as {name} has "
            f"{sizes['train']} training photos: set it in that range"
        )

    def usable(photo: tf.Tensor) -> tf.Tensor:
        large = tf.reduce_min(tf.shape(photo)[:2]) >= size
        return tf.logical_and(large, tf.logical_not(photo_files.is_gray(photo)))

    def split(part: str) -> PhotoSplit:
        examples = builder.as_dataset(
            split=part, decoders=tfds.decode.PartialDecoding({"image": True})
        )
        photos = examples.map(
            lambda example: photo_files.area_average(example["image"], downscale),
            tf.data.AUTOTUNE,
            deterministic=True,
        ).filter(usable)
        return PhotoSplit(size=size, stream=lambda _: photos)

    return Photos(
        name=name,
        train=split(f"train[{num_validation}:]"),
        validation=split(f"train[:{num_validation}]"),
        test=split(test),
        summary=f"{name}: {sizes['train'] - num_validation} train, {num_validation} validation, "
        f"{sizes[test]} test photos before gray and small ones are left out",
    )
