"""A past stretch run through the path that production uses: what would have been flagged, and at what cost."""
