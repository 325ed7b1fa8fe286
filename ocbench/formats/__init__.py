"""Readers of container formats; each takes open binary files, never paths."""
