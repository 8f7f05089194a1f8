"""From the user's fields to the columns that the network sees."""
