"""Keras networks: makers of subnets for couplings, and conditioners.

Any callable from a number of output channels to a Keras layer can make subnets, and any Keras layer
or model can be a conditioner; these are the usual ones.
"""

from tfp_cinn.networks.conv_net import ConvNet
from tfp_cinn.networks.labels import LabelEmbedding, OneHot
from tfp_cinn.networks.mlp import MLP

__all__ = ["ConvNet", "LabelEmbedding", "MLP", "OneHot"]
