"""A conditional generative adversarial network; pix2pix where the condition is an image."""

import tensorflow as tf

from reproduction.baselines.baseline import Baseline
from reproduction.baselines.networks import (
    NoiseDropout,
    Seeds,
    decoder,
    encoder,
    patch_discriminator,
)
from tfp_cinn.fused_adam import FusedAdam
from tfp_cinn.tasks import Task

# Dimensions of z, the discriminator's widths, the generator's, and that of the vectors between.
_SIZES = {
    "classes": (64, (16, 32), (16, 32), 2250),
    "color_digits": (32, (64, 128, 128), (64, 128), 162),
    "colorization": (32, (32, 64, 128, 128), (32, 64, 96), 252),
}
_RATES = {"classes": 1e-3, "color_digits": 5e-4, "colorization": 5e-4}
_L1 = 100.0  # pix2pix's weight
_R1 = 1.0  # half the weight of the gradient's square
_LAZY = 4  # steps between two penalties


class GAN(Baseline):
    """A generator y = G(z, c), z ~ N(0, 1), and a discriminator D(y, c) that it has to deceive.

    D maximizes log s(D(y, c)) + log(1 - s(D(G(z, c), c))), G maximizes log s(D(G(z, c), c)), where
    s is the logistic function (Goodfellow et al. 2014, non-saturating).

    Given classes, D has an output for each class, and its gradient is penalized at the data (R1,
    Mescheder et al.: Which training methods for GANs do actually converge?, 2018,
    arXiv:1801.04406); layers of G are batch-normalized.

    Given images, it is pix2pix (Isola et al.: Image-to-image translation with conditional
    adversarial networks, 2016, arXiv:1611.07004): G is a U-Net that also minimizes 100 |y - G|_1,
    D judges patches and its loss is halved; D's convolutions are normalized image by image, as
    pix2pix's are, whose batches hold one image; noise is dropout of 1/2, in sampling too, and z.

    Args:
        task: the data.
        seed: of the weights and of the dropout in training.
    """

    def __init__(self, task: Task, seed: int):
        super().__init__(task, bounded=True)
        self._paired = self.kind != "classes"
        self.batch_size = 32 if self._paired else 64
        self.rate = _RATES[self.kind]
        self._dims, down, up, hidden = _SIZES[self.kind]
        seeds, shapes = Seeds(seed), (self.image_shape, self.cond_dims)
        norm, dropout = ("", 0.5) if self._paired else ("batch", 0.0)
        self.decoder = decoder(
            *shapes, self._dims, up, hidden, seeds, norm=norm, dropout=dropout, activation="tanh"
        )
        if self._paired:
            self.discriminator = patch_discriminator(*shapes, down, seeds)
        else:
            self.discriminator = encoder(*shapes, self.cond_dims[0], down, hidden, seeds)
        self._adams = FusedAdam(self.rate, beta_1=0.5), FusedAdam(self.rate, beta_1=0.5)
        self._adams[0].build(self.discriminator.trainable_variables)
        self._adams[1].build(self.decoder.trainable_variables)

    @tf.function(jit_compile=False)
    def step(self, x, cond, key, rate):
        """One step of training."""
        y, cond = self.own_units(x), self.features(cond)
        painter = self.decoder
        z = tf.random.stateless_normal([tf.shape(y)[0], self._dims], key)
        with tf.GradientTape() as painter_tape:
            fake = painter([cond, z], training=True)
            with tf.GradientTape() as critic_tape:
                # In batches of their own, as usual with batch normalization.
                on_data = _cross_entropy(self._judge(y, cond), True)
                on_fake = _cross_entropy(self._judge(tf.stop_gradient(fake), cond), False)
                critic_loss = on_data + on_fake
                if self._paired:
                    critic_loss /= 2
                else:
                    lazy = key[1] % _LAZY == 0
                    critic_loss += tf.cond(lazy, lambda: self._penalty(y, cond), lambda: 0.0)
            self._apply(0, critic_tape, critic_loss, self.discriminator, rate)
            painter_loss = loss = _cross_entropy(self._judge(fake, cond), True)
            if self._paired:
                loss += _L1 * tf.reduce_mean(tf.abs(y - fake))
        self._apply(1, painter_tape, loss, painter, rate)
        return {"loss": loss, "generator": painter_loss, "discriminator": on_data + on_fake}

    def _judge(self, y, cond):
        logits = self.discriminator([y, cond], training=True)
        return logits if self._paired else tf.reduce_sum(logits * cond, axis=-1)

    def _apply(self, number, tape, loss, model, rate):
        adam, variables = self._adams[number], model.trainable_variables
        adam.learning_rate.assign(rate)
        adam.apply(tape.gradient(loss, variables), variables)

    def _penalty(self, y, cond):
        with tf.GradientTape() as tape:
            tape.watch(y)
            score = tf.reduce_sum(self._judge(y, cond))
        slopes = tf.reduce_sum(tf.square(tape.gradient(score, y)), axis=[1, 2, 3])
        return _LAZY * _R1 * tf.reduce_mean(slopes)

    def _draw(self, cond, key, noisy):
        z = tf.random.stateless_normal([tf.shape(cond)[0], self._dims], key)
        for number, layer in enumerate(self.decoder.layers):
            if isinstance(layer, NoiseDropout):
                folded = tf.random.experimental.stateless_fold_in(key, number)
                state = layer.seed_generator.state
                state.assign(tf.cast(folded % (1 << 31), state.dtype))
        return self.decoder([cond, z], training=False)


def _cross_entropy(logits, is_data: bool):
    return tf.reduce_mean(tf.nn.softplus(-logits if is_data else logits))
