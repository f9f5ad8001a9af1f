"""Colors of digits given the gray image."""

import keras
import numpy as np

from reproduction.tasks.task import DRAWS, JUDGE_SEED, Task, by_class
from tfp_cinn import data
from tfp_cinn.metrics import sharpness
from tfp_cinn.metrics.colorings import best_of, pixel_variance
from tfp_cinn.metrics.frechet import frechet_distance
from tfp_cinn.metrics.hues import digit_hues, hue_distance


class ColoredDigits(Task):
    """The paper's color-MNIST on scikit-learn's digits."""

    config_name = "color_digits"

    @property
    def _images(self):
        return self.problem.images

    def likelihood_batches(self, limit=None):
        return self.problem.test_batches(297)

    def train_judge(self):
        """Train a classifier of colors: it sees other digits than the class whose colors it is.

        Shown digits in their own colors it would tell the class by the digit.
        """
        images = self._images
        keras.utils.set_random_seed(JUDGE_SEED)
        judge = keras.Sequential(
            [
                keras.Input(self.problem.image_shape),
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
        rng = np.random.default_rng(JUDGE_SEED)
        for epoch in range(5 if self.fast else 40):
            # Digits of any class in the colors of labels in their order, which is kept.
            labels = images.train.labels
            shuffled = data.Split(rng.permutation(images.train.images), labels)
            draw = data.paint_digits(images.levels, 0.05)
            batches = data.evaluation_batches(shuffled, 64, draw, seed=1 + epoch)
            if epoch == (4 if self.fast else 30):
                judge.optimizer.learning_rate = 2e-4
            order = rng.permutation(len(labels))
            x = np.concatenate([x for x, _ in batches])
            judge.fit(x[order], labels[order], 64, verbose=0)
        judge.save(self.judge_path())

    def data_sampler(self):
        """Paint test digits again, as the data were."""
        images, (grays, labels) = self._images, self._images.test
        known = {gray.tobytes(): row for row, gray in enumerate(np.float32(grays) / 16)}

        def sample(cond, num_samples, seed):
            rows = [known[gray.tobytes()] for gray in np.float32(cond)]
            split = data.Split(grays[rows], labels[rows])
            drawn = []
            for k in range(num_samples):
                draw = data.paint_digits(images.levels, 0.05)
                batches = data.evaluation_batches(split, 297, draw, seed=7_000 + 100 * seed + k)
                drawn.append(np.concatenate([x for x, _ in batches]))
            return np.stack(drawn)

        return sample

    def measure(self, sampler, seed):
        x, gray = (np.concatenate(parts) for parts in zip(*self.likelihood_batches(), strict=True))
        labels = self._images.test.labels
        drawn = np.clip(sampler(gray, DRAWS, seed), 0, 1).swapaxes(0, 1)  # [N, 8, H, W, 3]
        real = np.clip(self.data_sampler()(gray, DRAWS, 999), 0, 1).swapaxes(0, 1)
        judge = self._judge()
        features = keras.Model(judge.inputs, judge.layers[-3].output)
        flat, flat_real = (a.reshape(-1, *a.shape[2:]) for a in (drawn, real))
        each = np.repeat(labels, DRAWS)
        seen, known = (features.predict(a, batch_size=256, verbose=0) for a in (flat, flat_real))
        reached, within = by_class(known, each, seen, each)
        truth = np.clip(x, 0, 1)
        hues, reference = (digit_hues(a, gray[:, np.newaxis]) for a in (drawn, real))
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
        """Of one digit a class: it in gray, and colored eight times."""
        gray = self.problem.test_grays(range(10))
        x = np.clip(sampler(gray, DRAWS, seed), 0, 1).swapaxes(0, 1)
        return {"gray": np.uint8(255 * gray), "x": np.uint8(255 * x)}

    def timed_cond(self):
        return next(iter(self.problem.test_batches(250)))[1].numpy()


def _spread(hues):
    """Circular standard deviation over the colorings of an image, degrees, mean over images."""
    length = np.abs(np.exp(1j * np.radians(hues)).mean(axis=1))
    return np.degrees(np.sqrt(-2 * np.log(np.clip(length, 1e-9, 1)))).mean()
