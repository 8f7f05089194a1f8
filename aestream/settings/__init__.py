"""All settings: reading them, checking them, and describing them for the documentation."""
