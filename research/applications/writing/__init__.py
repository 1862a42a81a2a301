"""The writing assistant: sentences from the facts of a place."""
