"""Collects photographs out of two Debian packages into a folder, with their licenses.

python tools/gather_photos --output=photos [--deb_dir=DIR]
"""

import gather
from absl import flags

from tfp_cinn.cli import app

_OUTPUT = flags.DEFINE_string("output", None, "Folder to make.", required=True)
_DEB_DIR = flags.DEFINE_string(
    "deb_dir", None, "Folder with their .deb files; they are downloaded if not given."
)


def main(_):
    gather.gather_photos(_OUTPUT.value, _DEB_DIR.value)


if __name__ == "__main__":
    app.run(main)
