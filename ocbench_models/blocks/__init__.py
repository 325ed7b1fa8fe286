"""Parts that two or more models share, each written once."""
