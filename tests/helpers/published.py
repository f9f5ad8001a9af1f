"""The published networks, small, with the names and the order of nodes of their own FrEIA.

Of July 2019 to February 2021: a node's number is its place in the list of nodes, input and outputs
included, a Glow block has subnets s1 and s2, of which s2 changes the first half, and the soft clamp
is a * 0.636 * atan(s / a).
"""

import FrEIA.modules as Fm
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def slope(s):
    """TensorFlow holds the slope of a leaky ReLU in float32, for float64 as well."""
    return float(np.float32(s))


class Graph(nn.Module):
    """A flow.

    Args:
        *nodes: None for an input, output or a flattening of latents that left early; or a module
            and the name of its condition.
    """

    def __init__(self, *nodes):
        super().__init__()
        self.module_list = nn.ModuleList([node and node[0] for node in nodes])
        self._conditions = [node and node[1] for node in nodes]

    def forward(self, x, conditions):
        leaving, total = [], 0.0
        for module, condition in zip(self.module_list, self._conditions, strict=True):
            if isinstance(module, Split):
                x, gone = module(x)
                leaving.append(gone.flatten(1))
            elif module is not None:
                given = {} if condition is None else {"c": [conditions[condition]]}
                (x,), log_det = module([x], **given)
                total = total + log_det
        return torch.cat([*leaving, x.flatten(1)], 1), total


class Split(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self._keep = keep

    def forward(self, x):
        return x[:, : self._keep], x[:, self._keep :]


class Glow(nn.Module):
    """A Glow block; `subnet`, if given, is its own conditioning network."""

    def __init__(self, channels, cond_channels, make, clamp, subnet=None):
        super().__init__()
        self._sizes, self._clamp = (channels // 2, channels - channels // 2), clamp
        if subnet is not None:
            self.subnet = subnet
        first, second = self._sizes
        self.s1 = make(first + cond_channels, 2 * second)
        self.s2 = make(second + cond_channels, 2 * first)

    def forward(self, x, c=()):
        first, second = x[0].split(self._sizes, 1)
        c = [self.subnet(*c)] if hasattr(self, "subnet") else c
        first, log_det = self._change(first, self.s2(torch.cat([second, *c], 1)))
        second, more = self._change(second, self.s1(torch.cat([first, *c], 1)))
        return [torch.cat([first, second], 1)], log_det + more

    def _change(self, x, parameters):
        s, t = parameters.chunk(2, 1)
        log_scale = self._clamp * 0.636 * torch.atan(s / self._clamp)
        return x * log_scale.exp() + t, log_scale.flatten(1).sum(1)


class Permutation(nn.Module):
    """FrEIA's, which kept it out of the state dict."""

    def __init__(self, channels, seed):
        super().__init__()
        self._order = np.random.RandomState(seed).permutation(channels)

    def forward(self, x):
        return [x[0][:, self._order]], 0.0


class FullyConnected(nn.Module):
    """F_fully_connected and F_fully_shallow."""

    def __init__(self, size_in, size, width, names, leak):
        super().__init__()
        self._slope = slope(leak)
        for name in names:
            out = size if name == names[-1] else width
            setattr(self, name, nn.Linear(size_in, out))
            size_in = out

    def forward(self, x):
        *hidden, last = self.children()
        for layer in hidden:
            x = F.leaky_relu(layer(x), self._slope)
        return last(x)


class Conv(nn.Module):
    """F_conv."""

    def __init__(self, channels_in, channels, width, kernel, leak):
        super().__init__()
        self._slope = slope(leak)
        self.conv1 = nn.Conv2d(channels_in, width, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.conv3 = nn.Conv2d(width, channels, kernel, padding=kernel // 2)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), self._slope)
        return self.conv3(F.leaky_relu(self.conv2(x), self._slope))


class DenseConv(nn.Module):
    """F_fully_conv: every layer is given all before it."""

    def __init__(self, channels_in, channels, width):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 1)
        self.conv2 = nn.Conv2d(channels_in + width, width, 1)
        self.conv3 = nn.Conv2d(channels_in + 2 * width, channels, 1)

    def forward(self, x):
        for layer in (self.conv1, self.conv2):
            x = torch.cat([x, F.leaky_relu(layer(x), slope(0.01))], 1)
        return self.conv3(x)


class Digits(nn.Module):
    """The conditioner of mnist_cINN's color-MNIST, with the classifier that it was trained as."""

    def __init__(self, size=20, width=3):
        super().__init__()
        side = ((size - 4) // 2 - 4) // 2
        self.conv = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Conv2d(4, 5, 3), nn.MaxPool2d(2),
            nn.Conv2d(5, 5, 3), nn.Conv2d(5, 6, 3), nn.MaxPool2d(2),
        )  # fmt: skip
        self.linear = nn.Sequential(
            nn.Dropout(), nn.Linear(6 * side**2, 8), nn.Dropout(), nn.Linear(8, width)
        )
        self.fc_final = nn.Linear(width, 10)

    def forward(self, gray):
        vector = self.linear(self.conv(gray).flatten(1))
        maps = vector[:, :, None, None].expand(-1, -1, *gray.shape[2:])
        return {"maps": torch.cat([gray, maps], 1)}


def color_mnist(size=20):
    """The flow of mnist_cINN's color-MNIST."""
    nodes = [None]
    for k in range(2):
        conv = Glow(3, 4, lambda i, o: DenseConv(i, o, 4), 1.9)
        nodes += [(Permutation(3, k), None), (conv, "maps")]
    nodes.append((Fm.Flatten([(3, size, size)]), None))
    for k in range(2):
        dense = Glow(
            3 * size**2, 0, lambda i, o: FullyConnected(i, o, 6, ("fc1", "fc2", "fc3"), 0.01), 1.9
        )
        nodes += [(Permutation(3 * size**2, k), None), (dense, None)]
    return Graph(*nodes, None, None)


def zhang(w):
    """The backbone of colorization_cINN, as layers by name, and its classifier."""
    layers, channels = {}, 1
    blocks = ((1, 2, 2), (2, 2, 2), (4, 3, 2), (8, 3, 1), (8, 3, 1), (8, 3, 1), (8, 3, 1))
    for block, (wide, depth, stride) in enumerate(blocks, start=1):
        dilation = 2 if block in (5, 6) else 1
        for n in range(1, depth + 1):
            name = "bw_conv1_1" if (block, n) == (1, 1) else f"conv{block}_{n}"
            step = stride if n == depth else 1
            layers[name] = nn.Conv2d(
                channels, wide * w, 3, step, padding=dilation, dilation=dilation
            )
            channels = wide * w
        layers[f"conv{block}_{depth}norm"] = nn.BatchNorm2d(channels)
    layers["conv8_1"] = nn.ConvTranspose2d(channels, 4 * w, 4, 2)
    layers["conv8_2"] = nn.Conv2d(4 * w, 4 * w, 3, padding=1)
    layers["conv8_3"] = nn.Conv2d(4 * w, 4 * w, 3, padding=1)
    layers["conv8_313"] = nn.Conv2d(4 * w, 7, 1)
    layers["class8_ab"] = nn.Conv2d(7, 2, 1)
    return nn.ModuleDict(layers)


class Imagenet(nn.Module):
    """colorization_cINN with two sections instead of four, as its DataParallel saves it."""

    def __init__(self, w=2, blocks=(2, 1), widths=(4, 6), mixing=(4, 6), keep=16):
        super().__init__()
        self.module = nn.Module()
        self.module.feature_network = zhang(w)
        self.module.fc_cond_network = nn.Sequential(
            nn.Conv2d(4 * w, 3, 3, 2, 1), nn.LeakyReLU(slope(0.01)), nn.Conv2d(3, 5, 3, 2, 1),
            nn.AvgPool2d(2), nn.BatchNorm2d(5),
        )  # fmt: skip
        rng = np.random.RandomState(0)

        def rotation(channels):
            q = torch.tensor(np.linalg.qr(rng.randn(channels, channels))[0])
            return Fm.Fixed1x1Conv([(channels, 1, 1)], M=q), None

        def own(level, channels):
            strided = [nn.Conv2d(4 * w, 5, 3, 2, 1), nn.LeakyReLU(slope(0.01))] if level else []
            last = nn.Conv2d(5 if level else 4 * w, channels, 3, padding=1)
            return nn.Sequential(*strided, last, nn.BatchNorm2d(channels))

        def section(level, channels, down):
            nodes, width = [], widths[level]
            for _ in range(blocks[level]):
                block = Glow(
                    channels, width, lambda i, o: Conv(i, o, width, 3, 0.05), 1.5,
                    own(level, width),
                )  # fmt: skip
                nodes += [(block, "maps"), rotation(channels)]
            nodes.append((down, None))
            for _ in range(2):
                block = Glow(4 * channels, 0, lambda i, o: Conv(i, o, mixing[level], 1, 0.01), 1.5)
                nodes += [rotation(4 * channels), (block, None)]
            return nodes

        squeeze = Fm.IRevNetDownsampling([(2, 8, 8)], legacy_backend=True)
        haar = Fm.HaarDownsampling([(8, 4, 4)], order_by_wavelet=True, rebalance=0.5)
        *early, last = section(1, 8, haar)
        nodes = [None, *section(0, 2, squeeze), *early]
        # The published code inserts what leaves early, flattened, before the block above the split.
        nodes += [None, None, last, (Split(keep), None), (Fm.Flatten([(keep, 2, 2)]), None)]
        size = 4 * keep
        for k in range(2):
            dense = Glow(
                size, 5,
                lambda i, o: FullyConnected(i, o, 6, ("fc1", "fc2", "fc2b", "fc3"), 0.0), 1.5,
            )  # fmt: skip
            nodes += [(Permutation(size, k), None), (dense, "vector")]
        self.module.inn = Graph(*nodes, None, None, None)

    def forward(self, x, gray):
        features = gray - 50
        for name, layer in self.module.feature_network.items():
            if name in ("conv8_313", "class8_ab"):
                continue
            features = layer(features)
            if "norm" not in name and name != "conv8_3":
                features = F.relu(features)
        maps = features[:, :, 1:-1, 1:-1]
        vector = self.module.fc_cond_network(maps)[:, :, 0, 0]
        return self.module.inn(x, {"maps": maps, "vector": vector})
