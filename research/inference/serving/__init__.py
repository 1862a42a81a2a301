"""A checkpoint behind HTTP: routes, limits, batching of what several ask at once, figures, and a page."""
