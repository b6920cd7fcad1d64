"""One module a stage of the night: each adds retries, names and timing to one call of the layers below."""
