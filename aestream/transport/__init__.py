"""Where records come from and results go: every offset, partition and commit lives in this folder."""
