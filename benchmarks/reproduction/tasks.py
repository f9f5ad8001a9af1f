"""The tasks: data, networks, and how samples of any method are measured.

A sampler is a function `(cond [N, ...], num_samples, seed) -> x [num_samples, N, H, W, C]`, in the
units of the data. Figures are plain numbers; errors are over the seeds of whole runs.
"""

import dataclasses
import functools
import importlib.util
import pathlib

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn import data, evaluation, experiments, latent
from tfp_cinn.colour import split_lab
from tfp_cinn.data.color_digits import class_hues
from tfp_cinn.evaluation import coverage, recall, sharpness
from tfp_cinn.evaluation.colourings import best_of, pixel_variance
from tfp_cinn.evaluation.feature_network import efficientnet_lite0, find_efficientnet_lite0
from tfp_cinn.evaluation.frechet import frechet_distance
from tfp_cinn.evaluation.hues import digit_hues, hue_distance
from tfp_cinn.experiments.judge_colourings import judge_colourings

ROOT = pathlib.Path(__file__).parents[2]

SOURCES = {"data__idx_dir": "/usr/share/datasets/fashion-mnist", "data__folder": "photos"}
"""Where Fashion-MNIST and the photographs are."""

_JUDGE_SEED = 1234  # of the networks that judge, no seed of a run
_DRAWS = 8  # colourings of an image


def config_of(file, **fields):
    """The config of a file of `configs/`, with fields such as `model__blocks` changed."""
    spec = importlib.util.spec_from_file_location("config", ROOT / "configs" / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    for name, value in fields.items():
        section, field = name.split("__")
        config[section][field] = value
    return config.to_dict(preserve_field_references=False)


class Task:
    """Data, and what is measured of samples.

    Args:
        folder: where networks that judge are kept.
        fast: whether to measure on a part of the test set only.
        **fields: changes of the config.
    """

    file: str
    source = ""
    base: dict = {}

    def __init__(self, folder, fast=False, **fields):
        self.folder = pathlib.Path(folder)
        self.fast = fast
        sources = {self.source: SOURCES[self.source]} if self.source else {}
        self.config = config_of(self.file, **(sources | self.base | fields))

    @functools.cached_property
    def experiment(self):
        return experiments.load(self.config)

    def judge_path(self):
        return self.folder / f"{type(self).__name__.lower()}_judge.keras"

    def _judge(self):
        return keras.saving.load_model(self.judge_path(), compile=False)


class Clothes(Task):
    """Fashion-MNIST given the class."""

    file = "fashion_mnist.py"
    source = "data__idx_dir"
    base = {
        "model__blocks": 12,
        "model__hidden": (256,),
        "train__learning_rate": 1e-3,
    }

    def train_judge(self):
        images = self._images
        if self.fast:
            few = data.Split(*(part[:1000] for part in images.train))
            images = dataclasses.replace(images, train=few)
        classifier = evaluation.train_classifier(images, _JUDGE_SEED)
        classifier.save(self.judge_path())

    @property
    def _images(self):
        return self.experiment.images

    def likelihood_batches(self, limit=None):
        images, labels = self._images.test
        limit = min(limit or len(labels), 1000 if self.fast else len(labels))
        return data.evaluation_batches(data.Split(images[:limit], labels[:limit]), 250)

    def data_sampler(self):
        """Draws training images of a class."""
        images, labels = self._images.train
        groups = [np.flatnonzero(labels == label) for label in range(10)]

        def sample(cond, num_samples, seed):
            rng = np.random.default_rng(seed)
            rows = [rng.choice(groups[label], num_samples, replace=False) for label in cond]
            x = images[np.stack(rows, axis=1)].astype(np.float32)
            return x + np.float32(0.5)

        return sample

    def measure(self, sampler, seed):
        count = 100 if self.fast else 1000  # a class
        classes = np.arange(10, dtype=np.int32)
        chunks = [sampler(classes, 100, (seed << 16) + k) for k in range(count // 100)]
        x = np.concatenate(chunks).swapaxes(0, 1)  # [10, count, H, W, 1]
        finite = np.isfinite(x).all(axis=(2, 3, 4))
        levels = np.clip(np.floor(np.nan_to_num(x)), 0, 255).astype(np.uint8)
        samples = data.Split(levels.reshape(-1, *levels.shape[2:]), np.repeat(classes, count))
        test = self._test(count)
        judge = self._judge()
        features = keras.Model(judge.inputs, judge.layers[-3].output)
        seen, real = (
            features.predict(self._seen(split), batch_size=250, verbose=0)
            for split in (samples, test)
        )
        drawn = levels[:, : 8 * (count // 10)].reshape(10, -1, _DRAWS, *levels.shape[2:])
        truth = test.images.reshape(10, -1, *levels.shape[2:])[:, : drawn.shape[1]]
        drawn, truth = (np.float32(a.reshape(-1, *a.shape[2:])) / 255 for a in (drawn, truth))
        reached, within = _by_class(real, test.labels, seen, samples.labels)
        pairs = evaluation.pair_distance(samples).mean / evaluation.pair_distance(test).mean
        return {
            "accuracy": evaluation.is_recognised(judge, samples).mean(),
            "frechet": frechet_distance(seen, real),
            "coverage": reached,
            "recall": within,
            "diversity_ratio": pairs,
            "sharpness_ratio": sharpness(samples.images).mean() / sharpness(test.images).mean(),
            "best_of_1": best_of(drawn[:, :1], truth).mean(),
            "best_of_8": best_of(drawn, truth).mean(),
            "best_image_of_8": best_of(drawn, truth, per_image=True).mean(),
            "pixel_variance": pixel_variance(drawn).mean(),
            "neighbour_ratio": evaluation.neighbour_distance(samples, self._images.train).mean
            / evaluation.neighbour_distance(test, self._images.train).mean,
            "non_finite": float((~finite).sum()),
        }

    def style_transfer(self, dist):
        """How well test images become other classes, and what they keep.

        Each is decoded under the next class but two. Accuracy is that of the judge, beside its own
        of the images as they are. Kept are the mean grey level and the contrast of what isn't
        black: correlations over the images of each class before and after, their mean over
        classes, beside that with other images' latents.
        """
        test = self._test(20 if self.fast else 100)
        target = np.int32((test.labels + 3) % 10)
        x = self._seen(test)
        moved = np.concatenate(
            [
                latent.transfer(dist, x[rows], test.labels[rows], target[rows]).numpy()
                for rows in np.array_split(np.arange(len(x)), max(1, len(x) // 250))
            ]
        )
        levels = np.uint8(np.clip(np.floor(np.nan_to_num(moved)), 0, 255))
        judge = self._judge()
        recognised = evaluation.is_recognised(judge, data.Split(levels, target))
        figures = {
            "transfer_accuracy": recognised.mean(),
            "transfer_accuracy_before": evaluation.is_recognised(judge, test).mean(),
        }
        for name, trait in (("brightness", _brightness), ("contrast", _contrast)):
            before, after = trait(test.images), trait(levels)
            classes = [test.labels == label for label in range(10)]
            kept = [np.corrcoef(before[rows], after[rows])[0, 1] for rows in classes]
            others = [np.corrcoef(before[rows], after[rows][::-1])[0, 1] for rows in classes]
            figures[f"{name}_kept"] = np.nanmean(kept)
            figures[f"{name}_of_others"] = np.nanmean(others)
        return {name: float(figure) for name, figure in figures.items()}

    def _test(self, count):
        """As many test images of each class, in the order of the classes."""
        images, labels = self._images.test
        rows = np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)])
        return data.Split(images[rows], labels[rows])

    def _seen(self, split):
        return np.float32(split.images) + np.float32(0.5)

    def show(self, sampler, seed):
        """Samples for a picture, `[10, 8, H, W, 1]`."""
        x = sampler(np.arange(10, dtype=np.int32), _DRAWS, seed).swapaxes(0, 1)
        return {"x": np.clip(x, 0, 255).astype(np.uint8)}

    def timed_cond(self):
        return np.tile(np.arange(10, dtype=np.int32), 25)


class Digits(Clothes):
    """Scikit-learn's digits given the class, on which the small ablations run."""

    file = "digits.py"
    source = ""
    base = {}

    def measure(self, sampler, seed):
        return {}  # likelihood alone


class ColouredDigits(Task):
    """The paper's colour-MNIST on scikit-learn's digits."""

    file = "color_digits.py"

    @property
    def _images(self):
        return self.experiment.images

    def likelihood_batches(self, limit=None):
        return self.experiment.test_batches(297)

    def train_judge(self):
        """Trains a classifier of colours: it sees other digits than the class whose colours it is.

        Shown digits in their own colours it would tell the class by the digit.
        """
        images = self._images
        keras.utils.set_random_seed(_JUDGE_SEED)
        judge = keras.Sequential(
            [
                keras.Input(self.experiment.image_shape),
                keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
                keras.layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dropout(0.2),
                keras.layers.Dense(10),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        judge.compile(keras.optimizers.Adam(2e-3), loss, jit_compile=False)
        rng = np.random.default_rng(_JUDGE_SEED)
        for epoch in range(5 if self.fast else 40):
            # Digits of any class in the colours of labels in their order, which is kept.
            labels = images.train.labels
            shuffled = data.Split(rng.permutation(images.train.images), labels)
            batches = data.evaluation_color_digits(
                shuffled, images.levels, 64, noise_std=0.05, seed=1 + epoch
            )
            if epoch == (4 if self.fast else 30):
                judge.optimizer.learning_rate = 2e-4
            order = rng.permutation(len(labels))
            x = np.concatenate([x for x, _ in batches])
            judge.fit(x[order], labels[order], 64, verbose=0)
        judge.save(self.judge_path())

    def data_sampler(self):
        """Paints the digits again, as the data were."""
        images = self._images
        labels = images.test.labels

        def sample(cond, num_samples, seed):
            split = data.Split(images.test.images[: len(cond)], labels[: len(cond)])
            drawn = []
            for k in range(num_samples):
                batches = data.evaluation_color_digits(
                    split, images.levels, 297, noise_std=0.05, seed=7_000 + 100 * seed + k
                )
                drawn.append(np.concatenate([x for x, _ in batches]))
            return np.stack(drawn)

        return sample

    def measure(self, sampler, seed):
        x, grey = (np.concatenate(parts) for parts in zip(*self.likelihood_batches(), strict=True))
        labels = self._images.test.labels
        drawn = np.clip(sampler(grey, _DRAWS, seed), 0, 1).swapaxes(0, 1)  # [N, 8, H, W, 3]
        real = np.clip(self.data_sampler()(grey, _DRAWS, 999), 0, 1).swapaxes(0, 1)
        judge = self._judge()
        features = keras.Model(judge.inputs, judge.layers[-3].output)
        flat, flat_real = (a.reshape(-1, *a.shape[2:]) for a in (drawn, real))
        each = np.repeat(labels, _DRAWS)
        seen, known = (features.predict(a, batch_size=256, verbose=0) for a in (flat, flat_real))
        reached, within = _by_class(known, each, seen, each)
        truth = np.clip(x, 0, 1)
        hues, reference = (digit_hues(a, grey[:, np.newaxis]) for a in (drawn, real))
        return {
            "accuracy": np.mean(
                judge.predict(flat, batch_size=256, verbose=0).argmax(axis=1) == each
            ),
            "hue_distance": hue_distance(hues, reference, labels).mean,
            "hue_spread_ratio": _spread(hues) / _spread(reference),
            "frechet": frechet_distance(seen, known),
            "coverage": reached,
            "recall": within,
            "sharpness_ratio": sharpness(flat).mean() / sharpness(flat_real).mean(),
            "best_of_1": best_of(drawn[:, :1], truth).mean(),
            "best_of_8": best_of(drawn, truth).mean(),
            "best_image_of_8": best_of(drawn, truth, per_image=True).mean(),
            "pixel_variance": pixel_variance(drawn).mean(),
            "pixel_variance_ratio": pixel_variance(drawn).mean() / pixel_variance(real).mean(),
        }

    def show(self, sampler, seed):
        """Of one digit a class: it in grey, and coloured eight times."""
        grey = self.experiment.test_greys(range(10))
        x = np.clip(sampler(grey, _DRAWS, seed), 0, 1).swapaxes(0, 1)
        return {"grey": np.uint8(255 * grey), "x": np.uint8(255 * x)}

    def timed_cond(self):
        return next(iter(self.experiment.test_batches(250)))[1].numpy()


class Photographs(Task):
    """Photographs' colours given their lightness, at 32 x 32 pixels."""

    file = "photos.py"
    source = "data__folder"
    base = {
        "data__size": 32,
        "data__ab_size": 32,
        "data__downscale": 16,
    }

    def likelihood_batches(self, limit=None):
        return self.experiment.test_batches(32)

    def measure(self, sampler, seed):
        first = []

        def paint(lightness, number):
            ab = sampler(np.asarray(lightness), _DRAWS, (seed << 16) + number)
            first.append(_coarse(ab[0]))
            return ab

        figures, photos, non_finite = self._judged({"method": paint})
        true = [_coarse(x) for x, _ in self.likelihood_batches()]
        pair = np.concatenate(true), np.concatenate(first)
        return {name: figure.mean for name, figure in figures["method"].items()} | {
            "coverage": coverage(*pair).mean(),
            "recall": recall(*pair).mean(),
            "non_finite": float(non_finite),
        }

    def references(self):
        """Figures of images that no model made."""
        shape = self.experiment.image_shape
        mean = self.experiment.mean_colour()

        def plain(ab):
            return lambda lightness, _: np.broadcast_to(np.float32(ab), (1, len(lightness), *shape))

        figures = self._judged({"grey": plain(0), "mean_colour": plain(mean)}).figures
        return {
            row: {name: figure.mean for name, figure in each.items()}
            for row, each in figures.items()
        }

    def _judged(self, painters):
        path = find_efficientnet_lite0()
        network = efficientnet_lite0(path) if path and not self.fast else None
        return judge_colourings(self.experiment, painters, _DRAWS, network)

    def show(self, sampler, seed):
        """Of one crop of each test photograph: L, its ab, and ab eight times."""
        crops, photos = zip(*self.experiment.test_crops(32), strict=True)
        crops, photos = np.concatenate(crops), np.concatenate(photos)
        first = np.unique(photos, return_index=True)[1]
        parts = split_lab(crops[first], self.experiment.image_shape[:2])
        ab = sampler(parts.small_L.numpy(), _DRAWS, seed)
        return {"L": parts.L, "ab": ab.swapaxes(0, 1), "true_ab": parts.small_ab}

    def timed_cond(self):
        return next(iter(self.experiment.test_batches(32)))[1].numpy()


TASKS = {
    "clothes": Clothes,
    "digits": Digits,
    "coloured_digits": ColouredDigits,
    "photographs": Photographs,
}


def flow_sampler(model, temperature=1.0):
    """The sampler of a trained flow."""
    draw = tf.function(
        lambda cond, count, seed: model.distribution.sample(cond, count, seed, temperature),
        reduce_retracing=True,
    )

    def sample(cond, num_samples, seed):
        cond = tf.convert_to_tensor(cond)
        key = np.random.SeedSequence(seed).generate_state(2).view(np.int32)
        return draw(cond, tf.constant(num_samples), tf.constant(key)).numpy()

    return sample


def hue_pairs():
    """Mean hues of foreground and background of each class, degrees, `[10, 2]`."""
    return class_hues()[..., 0]


def _brightness(images):
    """Mean grey level, `[N]`."""
    return images.mean(axis=(1, 2, 3))


def _contrast(images):
    """Standard deviation of the grey levels from 16 up, `[N]`."""
    return np.array([x[x >= 16].std() if (x >= 16).any() else 0.0 for x in images])


def _coarse(ab):
    """Colours of 4 x 4 areas, `[N, 32]`, by which colourings are compared as a set."""
    ab = tf.image.resize(ab, (4, 4), tf.image.ResizeMethod.AREA).numpy()
    return ab.reshape(len(ab), -1)


def _by_class(real, real_labels, samples, labels):
    """Coverage and recall, mean over classes."""
    parts = []
    for label in np.unique(real_labels):
        pair = real[real_labels == label], samples[labels == label]
        parts.append([coverage(*pair).mean(), recall(*pair).mean()])
    return np.mean(parts, axis=0)


def _spread(hues):
    """Circular standard deviation over the colourings of an image, degrees, mean over images."""
    length = np.abs(np.exp(1j * np.radians(hues)).mean(axis=1))
    return np.degrees(np.sqrt(-2 * np.log(np.clip(length, 1e-9, 1)))).mean()
