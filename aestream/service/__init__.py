"""What a running service is made of: the loops, and what they tell the world."""
