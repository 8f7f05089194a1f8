"""The transport over kafka-python 3, the default client."""
