"""The records that a model learns from: a bounded sample of the input topics' past, or of a file."""
