"""Images given their class."""

import dataclasses

import keras
import numpy as np

from reproduction.tasks.task import DRAWS, JUDGE_SEED, Task, by_class
from tfp_cinn import data, latent, metrics
from tfp_cinn.metrics import sharpness
from tfp_cinn.metrics.colorings import best_of, pixel_variance
from tfp_cinn.metrics.frechet import frechet_distance


class Clothes(Task):
    """Fashion-MNIST given the class."""

    config_name = "fashion_mnist"
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
        classifier = metrics.train_classifier(images, JUDGE_SEED)
        classifier.save(self.judge_path())

    @property
    def _images(self):
        return self.problem.images

    def likelihood_batches(self, limit=None):
        images, labels = self._images.test
        limit = min(limit or len(labels), 1000 if self.fast else len(labels))
        return data.evaluation_batches(data.Split(images[:limit], labels[:limit]), 250)

    def data_sampler(self):
        """Draw training images of a class."""
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
        drawn = levels[:, : 8 * (count // 10)].reshape(10, -1, DRAWS, *levels.shape[2:])
        truth = test.images.reshape(10, -1, *levels.shape[2:])[:, : drawn.shape[1]]
        drawn, truth = (np.float32(a.reshape(-1, *a.shape[2:])) / 255 for a in (drawn, truth))
        reached, within = by_class(real, test.labels, seen, samples.labels)
        pairs = metrics.pair_distance(samples).mean / metrics.pair_distance(test).mean
        return {
            "accuracy": metrics.is_recognized(judge, samples).mean(),
            "frechet": frechet_distance(seen, real),
            "coverage": reached,
            "recall": within,
            "diversity_ratio": pairs,
            "sharpness_ratio": sharpness(samples.images).mean() / sharpness(test.images).mean(),
            "best_of_1": best_of(drawn[:, :1], truth).mean(),
            "best_of_8": best_of(drawn, truth).mean(),
            "best_image_of_8": best_of(drawn, truth, per_image=True).mean(),
            "pixel_variance": pixel_variance(drawn).mean(),
            "neighbor_ratio": metrics.neighbor_distance(samples, self._images.train).mean
            / metrics.neighbor_distance(test, self._images.train).mean,
            "non_finite": float((~finite).sum()),
        }

    def style_transfer(self, dist):
        """How well test images become other classes, and what they keep.

        Each is decoded under the next class but two. Accuracy is that of the judge, beside its own
        of the images as they are. Kept are the mean gray level and the contrast of what isn't
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
        recognized = metrics.is_recognized(judge, data.Split(levels, target))
        figures = {
            "transfer_accuracy": recognized.mean(),
            "transfer_accuracy_before": metrics.is_recognized(judge, test).mean(),
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
        x = sampler(np.arange(10, dtype=np.int32), DRAWS, seed).swapaxes(0, 1)
        return {"x": np.clip(x, 0, 255).astype(np.uint8)}

    def timed_cond(self):
        return np.tile(np.arange(10, dtype=np.int32), 25)


class Digits(Clothes):
    """Scikit-learn's digits given the class, on which the small ablations run."""

    config_name = "digits"
    source = ""
    base = {}

    def measure(self, sampler, seed):
        return {}  # likelihood alone


def _brightness(images):
    """Mean gray level, `[N]`."""
    return images.mean(axis=(1, 2, 3))


def _contrast(images):
    """Standard deviation of the gray levels from 16 up, `[N]`."""
    return np.array([x[x >= 16].std() if (x >= 16).any() else 0.0 for x in images])
