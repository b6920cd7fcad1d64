"""The edge of Marrow: Prefect flows, settings, cluster choice and the command line."""
