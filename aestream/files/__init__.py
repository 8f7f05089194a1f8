"""Files in place of Kafka: their formats, and the commands that score, encode and denoise them."""
