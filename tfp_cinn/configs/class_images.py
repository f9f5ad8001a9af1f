"""Images of your own, `--config.data.folder=FOLDER` with a folder a class, or any prepared set."""

from tfp_cinn.configs import class_images_config


def get_config():
    """Returns the config."""
    return class_images_config()
