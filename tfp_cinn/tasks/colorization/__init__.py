"""Colors of photographs given their lightness."""
