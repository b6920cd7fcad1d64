"""Source slides: finding them in the inbox, and reading them whatever their container."""
