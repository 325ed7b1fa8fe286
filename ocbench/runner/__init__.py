"""The shared training and evaluation loops; the only rooms of the core that name torch beside `loading`."""
