"""Trained networks as products of matrices: what scores records, with numpy alone. `aestream.models` trains them."""
