"""Images of your own, `--config.data.folder=FOLDER` with a folder a class, or any prepared set."""

from tfp_cinn.configs import class_images_config as get_config  # noqa: F401
