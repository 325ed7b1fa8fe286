"""Plug-ins from a package of their own."""
