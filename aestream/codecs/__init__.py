"""Bytes to columns: one module a format, one contract in `base`."""
