"""Detection quality: aestream, its parts one by one, and its peers, by fixed protocols on labelled data."""
