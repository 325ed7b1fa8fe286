"""Runs published and fetched: on the Hugging Face hub, or in a folder that others can read."""
