"""`aestream bench`: what one worker takes on the user's own brokers, and how many the input needs."""
