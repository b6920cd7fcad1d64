"""Settings, clusters and the command line."""
