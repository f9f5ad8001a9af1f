"""What the tests against PyTorch have in common."""

import keras
import numpy as np
import torch


def perturb(module, std=0.2, seed=0):
    """Gives a module random weights and statistics, no zeros and no ones; returns it.

    In the precision that Keras builds in, and in inference mode.
    """
    generator = torch.Generator().manual_seed(seed)
    module.to(getattr(torch, keras.config.floatx())).eval()
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight.copy_(std * torch.randn(weight.shape, generator=generator))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0.0, 0.3, generator=generator)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)
    module.load_state_dict(module.state_dict())  # or FrEIA's ActNorm would start anew
    return module


def state_of(module):
    """A module's state dict, as `read_checkpoint` returns it."""
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def random(*shape, seed=0):
    """Normal values in the precision that Keras builds in."""
    return np.random.RandomState(seed).randn(*shape).astype(keras.config.floatx())


def to_torch(x):
    """Images `[N, H, W, C]` with their channels first; other arrays as they are."""
    return torch.tensor(np.moveaxis(x, -1, 1).copy() if x.ndim == 4 else x)


def from_torch(x):
    """Undoes `to_torch`."""
    x = x.detach().numpy()
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def scales_channels_first(z, scales):
    """Latents `[N, D]` with the maps of each scale flattened as PyTorch does."""
    parts = [z[:, a:b].reshape(len(z), *shape) for a, b, shape in scales]
    return np.concatenate([to_torch(part).flatten(1).numpy() for part in parts], axis=1)


def assert_near(got, expected, tolerance):
    """Largest difference at most `tolerance` times the largest value."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert np.abs(expected).max() > 0.01  # or there is nothing to compare
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()
