"""Metrics: pure NumPy functions of one `Outcome`, each found through its entry point."""
