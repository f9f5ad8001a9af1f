"""Export of trained flows as SavedModels that TensorFlow Serving loads."""

from tfp_cinn.export.export import BATCH_SIZES, export_model, export_run
from tfp_cinn.export.publish import verify

__all__ = ["BATCH_SIZES", "export_model", "export_run", "verify"]
