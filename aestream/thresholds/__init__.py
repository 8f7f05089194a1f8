"""From errors to a decision: the threshold, and a p-value for every error."""
