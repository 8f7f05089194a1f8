"""The autoencoders and the one loop that trains them."""
