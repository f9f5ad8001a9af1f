"""Reading and writing weights of other libraries."""

from tfp_cinn.interop.freia import export_freia, import_freia
from tfp_cinn.interop.state_dict import read_checkpoint

__all__ = [
    "export_freia",
    "import_freia",
    "read_checkpoint",
]
