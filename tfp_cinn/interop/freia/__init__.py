"""Weights from FrEIA networks on PyTorch, and back."""

from tfp_cinn.interop.freia.transfer import export_freia, import_freia

__all__ = ["export_freia", "import_freia"]
