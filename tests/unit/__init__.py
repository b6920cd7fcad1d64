"""One module at a time, no engine started."""
