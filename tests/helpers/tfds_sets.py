"""Prepares data sets as TensorFlow Datasets does."""

import numpy as np
import tensorflow as tf


def store(root, name, splits, version="1.0.0", config=None, classes=None, shape=(None, None, 3)):
    """Store splits of `(images, labels)`, or of images alone, under `root`.

    Storing asks Google Cloud Storage about the new data set: callers turn that off.
    """
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(shape=shape)}
    signature = {"image": tf.TensorSpec(shape, tf.uint8)}
    if classes:
        features["kind"] = tfds.features.ClassLabel(names=[f"class {k}" for k in range(classes)])
        signature["kind"] = tf.TensorSpec((), tf.int64)

    def data_set(rows):
        pairs = rows if classes else (rows, np.zeros(len(rows)))
        examples = [
            {"image": np.reshape(x, (*x.shape[:2], -1)), "kind": y}
            for x, y in zip(*pairs, strict=True)
        ]
        examples = [{key: each[key] for key in features} for each in examples]
        return tf.data.Dataset.from_generator(lambda: iter(examples), output_signature=signature)

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config,
        version=version,
        features=tfds.features.FeaturesDict(features),
        split_datasets={part: data_set(rows) for part, rows in splits.items()},
        data_dir=str(root),
        disable_shuffling=True,
    )
