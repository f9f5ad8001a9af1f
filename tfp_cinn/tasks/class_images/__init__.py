"""Images given their class."""
