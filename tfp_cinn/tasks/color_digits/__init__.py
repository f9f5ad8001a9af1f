"""Colors of digits given their gray image."""
