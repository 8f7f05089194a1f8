"""The detector: what it learns, what it says of rows, and its other two uses."""
