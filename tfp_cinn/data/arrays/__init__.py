"""Anybody's pairs (x, c): read from files, checked, measured, cut into batches."""

from tfp_cinn.data.arrays.batches import Rows, Simulation, Stream
from tfp_cinn.data.arrays.files import read_array, read_csv, read_npy, read_npz
from tfp_cinn.data.arrays.moments import examine
from tfp_cinn.data.arrays.pairs import Pairs

__all__ = [
    "Pairs",
    "Rows",
    "Simulation",
    "Stream",
    "examine",
    "read_array",
    "read_csv",
    "read_npy",
    "read_npz",
]
