"""The networks of the published minimal examples, in FrEIA 0.2 of PyPI.

Imports no TensorFlow, so that a process of its own has the memory of torch alone.
"""

import FrEIA.framework as Ff
import FrEIA.modules as Fm
import torch
from torch import nn


class Network(nn.Module):
    """A flow and its conditioner, named as in the published code."""

    def __init__(self, cinn, cond_net):
        super().__init__()
        self.cinn, self.cond_net = cinn, cond_net

    def forward(self, x, cond, rev=False):
        """Latents of images or the reverse, and log-determinants."""
        return self.cinn(x, c=self.cond_net(cond), rev=rev)


class Pyramid(nn.Module):
    """Conditions of the colorization flow: three levels of features and a vector."""

    def __init__(self):
        super().__init__()

        def conv(channels_in, channels, stride=1):
            return nn.Conv2d(channels_in, channels, 3, padding=1, stride=stride)

        act = nn.LeakyReLU()
        self.resolution_levels = nn.ModuleList([
            nn.Sequential(conv(1, 64), act, conv(64, 64)),
            nn.Sequential(act, conv(64, 128), act, conv(128, 128, 2)),
            nn.Sequential(act, conv(128, 128, 2)),
            nn.Sequential(act, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(2048, 512)),
        ])  # fmt: skip

    def forward(self, gray):
        features = [gray]
        for level in self.resolution_levels:
            features.append(level(features[-1]))
        return features[1:]


class OneHot(nn.Module):
    def forward(self, labels):
        return [nn.functional.one_hot(labels.long(), 10).float()]


class Nodes:
    """A graph that grows at its end."""

    def __init__(self, *shape):
        self.end = Ff.InputNode(*shape)
        self.all = [self.end]

    def add(self, module, inputs=None, conditions=None, **arguments):
        node = Ff.Node(self.end if inputs is None else inputs, module, arguments, conditions)
        self.all.append(node)
        return node

    def then(self, *args, **kwargs):
        self.end = self.add(*args, **kwargs)

    def couple(self, subnet, condition, clamp):
        arguments = {"subnet_constructor": subnet, "clamp": clamp}
        if clamp != 1:
            # The examples' own FrEIA clamped to a * 0.636 * atan(s / a), 0.2 leaves out that a.
            arguments["clamp_activation"] = lambda s: 0.636 * torch.atan(s / clamp)
        self.then(Fm.GLOWCouplingBlock, conditions=condition, **arguments)

    def graph(self, *conditions):
        return Ff.GraphINN([*self.all, *conditions, Ff.OutputNode(self.end)])


def _conv_subnet(width, kernel):
    def make(channels_in, channels_out):
        return nn.Sequential(
            nn.Conv2d(channels_in, width, kernel, padding=kernel // 2),
            nn.ReLU(),
            nn.Conv2d(width, channels_out, kernel, padding=kernel // 2),
        )

    return make


def _dense_subnet(channels_in, channels_out):
    return nn.Sequential(nn.Linear(channels_in, 512), nn.ReLU(), nn.Linear(512, channels_out))


def lsun_minimal():
    """The network that colors LSUN bedrooms."""
    shapes = (64, 64, 64), (128, 32, 32), (128, 16, 16), (512,)
    level0, level1, level2, vector = conditions = [Ff.ConditionNode(*shape) for shape in shapes]
    nodes, leaving = Nodes(2, 64, 64), []
    for _ in range(2):
        nodes.couple(_conv_subnet(32, 3), level0, 1.0)
    for level, width, clamp, sizes in ((level1, 64, 1.0, [2, 6]), (level2, 128, 0.6, [4, 4])):
        nodes.then(Fm.HaarDownsampling, rebalance=0.5)
        for k in range(4):
            nodes.couple(_conv_subnet(width, 3 if k % 2 else 1), level, clamp)
            nodes.then(Fm.PermuteRandom, seed=k)
        nodes.then(Fm.Split, section_sizes=sizes, dim=0)
        leaving.append(nodes.add(Fm.Flatten, inputs=nodes.end.out1).out0)
    nodes.then(Fm.Flatten)
    for k in range(4):
        nodes.couple(_dense_subnet, vector, 0.6)
        nodes.then(Fm.PermuteRandom, seed=k)
    nodes.then(Fm.Concat, inputs=[*leaving, nodes.end.out0], dim=0)
    return Network(nodes.graph(*conditions), Pyramid())


def mnist_minimal():
    """The network that draws MNIST digits."""
    condition = Ff.ConditionNode(10)
    nodes = Nodes(1, 28, 28)
    nodes.then(Fm.Flatten)
    for k in range(20):
        nodes.then(Fm.PermuteRandom, seed=k)
        nodes.couple(_dense_subnet, condition, 1.0)
    return Network(nodes.graph(condition), OneHot())


NETWORKS = {"lsun_minimal": lsun_minimal, "mnist_minimal": mnist_minimal}
