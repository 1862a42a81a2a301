"""Recommend films by what a user has seen and by what is said of them."""
