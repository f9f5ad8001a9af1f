import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.latent import interpolate

KINDS = ["linear", "spherical"]


@pytest.fixture
def ends():
    return tuple(np.random.RandomState(0).randn(2, 3, 100).astype("float32"))


def norms(z):
    return np.linalg.norm(z, axis=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_ends_are_exact_and_shapes_of_batches_broadcast(ends, kind):
    z = interpolate(*ends, 7, kind)
    assert z.shape == (7, 3, 100)
    np.testing.assert_array_equal(z[0], ends[0])
    np.testing.assert_array_equal(z[-1], ends[1])
    one = interpolate(ends[0][1], ends[1], 7, kind)
    np.testing.assert_allclose(one[:, 1], z[:, 1], atol=1e-6)


def test_linear_steps_are_equal(ends):
    steps = np.diff(interpolate(*ends, 6), axis=0)
    np.testing.assert_allclose(
        steps, np.broadcast_to((ends[1] - ends[0]) / 5, steps.shape), atol=1e-5
    )


def test_linear_cuts_through_the_ball_and_spherical_stays_on_its_surface(ends):
    middle = {kind: norms(interpolate(*ends, 3, kind))[1] for kind in KINDS}
    np.testing.assert_allclose(middle["linear"], np.sqrt(50), rtol=0.2)  # of random directions
    np.testing.assert_allclose(
        middle["spherical"], (norms(ends[0]) + norms(ends[1])) / 2, rtol=1e-5
    )


def test_spherical_turns_by_equal_angles_in_one_plane_and_norms_go_straight(ends):
    z = interpolate(*ends, 9, "spherical").numpy().astype(np.float64)
    np.testing.assert_allclose(np.diff(norms(z), 2, axis=0), 0, atol=1e-5)
    u = z / norms(z)[..., np.newaxis]
    angles = np.arccos((u[1:] * u[:-1]).sum(axis=-1))
    np.testing.assert_allclose(angles, np.broadcast_to(angles[0], angles.shape), rtol=1e-4)
    assert np.all(angles > 0.1)
    for k in range(3):
        assert np.linalg.svd(u[:, k], compute_uv=False)[2] < 1e-5


def test_spherical_is_the_formula_of_slerp_in_float64():
    a, b, t = np.array([3.0, 0.0, 4.0]), np.array([1.0, 2.0, -2.0]), 0.25
    angle = np.arccos(a @ b / 15)
    direction = np.sin((1 - t) * angle) * a / 5 + np.sin(t * angle) * b / 3
    z = interpolate(a, b, 5, "spherical")
    assert z.dtype == tf.float64
    np.testing.assert_allclose(z[1], (0.75 * 5 + 0.25 * 3) * direction / np.sin(angle), rtol=1e-12)


def test_spherical_of_opposites_equals_and_zeros():
    a = np.array([1.0, -2.0, 2.0], np.float32)
    path = interpolate(a, -a, 5, "spherical").numpy()
    np.testing.assert_allclose(norms(path), 3, rtol=1e-6)
    np.testing.assert_allclose(np.diff(path @ a / 9, 1)[[0, -1]], np.sqrt(0.5) - 1, rtol=1e-5)
    np.testing.assert_allclose(interpolate(a, 2 * a, 3, "spherical")[1], 1.5 * a, rtol=1e-6)
    zero = np.zeros_like(a)
    np.testing.assert_allclose(interpolate(zero, a, 3, "spherical")[1], a / 2, rtol=1e-6)
    np.testing.assert_allclose(interpolate(a, zero, 3, "spherical")[1], a / 2, rtol=1e-6)
    np.testing.assert_array_equal(interpolate(zero, zero, 3, "spherical"), np.zeros((3, 3)))
    np.testing.assert_allclose(
        interpolate([1.0], [-2.0], 4, "spherical")[:, 0], [1, 0, -1, -2], atol=1e-6
    )


def test_nearly_opposite_and_nearly_equal_ends_stay_on_the_sphere():
    rng = np.random.RandomState(1)
    a = rng.randn(50, 20).astype("float32")
    a /= norms(a)[:, np.newaxis]
    for sign in (1, -1):
        for size in (1e-7, 1e-5, 1e-3):
            b = sign * a + size * rng.randn(50, 20).astype("float32")
            z = interpolate(a, b, 5, "spherical").numpy()
            np.testing.assert_allclose(norms(z), 1, atol=0.02)
            # No jump before the end, which is set and not computed.
            assert np.ptp(norms(np.diff(z, axis=0))) < 0.01


def test_in_a_graph_with_unknown_batch(ends):
    traced = tf.function(
        lambda a, b: interpolate(a, b, 4, "spherical"),
        input_signature=[tf.TensorSpec([None, 100])] * 2,
    )
    np.testing.assert_allclose(traced(*ends), interpolate(*ends, 4, "spherical"), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(3), np.zeros(4), 3), "of one D, got shapes"),
        ((np.zeros(()), np.zeros(()), 3), "of one D, got shapes"),
        ((np.zeros((2, 3)), np.zeros((4, 3)), 3), "don't broadcast"),
        ((np.zeros(3), np.zeros(3), 1), "steps: expected 2 or more, got 1"),
        ((np.zeros(3), np.zeros(3), 2.5), "steps: expected an integer, got 2.5"),
        ((np.zeros(3), np.zeros(3), 3, "cubic"), "expected linear or spherical, got 'cubic'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        interpolate(*arguments)
