"""Export of trained flows as SavedModels that TensorFlow Serving loads."""

from tfp_cinn.export.arguments import BATCH_SIZES
from tfp_cinn.export.export import export_model, export_run
from tfp_cinn.export.publish import verify
from tfp_cinn.export.session import SavedModelSession

__all__ = ["BATCH_SIZES", "SavedModelSession", "export_model", "export_run", "verify"]
