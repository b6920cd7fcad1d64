"""The networks, and the arithmetic that makes their results independent of tiles, batches and machines."""
