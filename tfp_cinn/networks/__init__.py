"""Keras networks: makers of subnets for couplings, and conditioners.

Any callable from a number of output channels to a Keras layer can make subnets, and any Keras layer
or model can be a conditioner. Here, makers and layers for labels are classes; conditioners for
images are functions that return a `keras.Model` of standard layers, as in `keras.applications`;
those for sets and series, of which some points may be missing, are layers.
"""

from tfp_cinn.networks.application_features import application_features
from tfp_cinn.networks.dense_conv_net import DenseConvNet
from tfp_cinn.networks.digit_features import digit_features
from tfp_cinn.networks.feature_pyramid import feature_pyramid, gray_pyramid
from tfp_cinn.networks.labels import LabelEmbedding, OneHot
from tfp_cinn.networks.pretraining import color_regressor, load_weights
from tfp_cinn.networks.strided_features import strided_features, strided_vector
from tfp_cinn.networks.subnets import MLP, ConvNet
from tfp_cinn.networks.summaries import DeepSet, SeriesFeatures, SetTransformer
from tfp_cinn.networks.zhang_features import zhang_features

__all__ = [
    "ConvNet",
    "DeepSet",
    "DenseConvNet",
    "LabelEmbedding",
    "MLP",
    "OneHot",
    "SeriesFeatures",
    "SetTransformer",
    "application_features",
    "color_regressor",
    "digit_features",
    "feature_pyramid",
    "gray_pyramid",
    "load_weights",
    "strided_features",
    "strided_vector",
    "zhang_features",
]
