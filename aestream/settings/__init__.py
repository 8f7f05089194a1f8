"""Every setting: read, checked, and as documentation shows it."""
