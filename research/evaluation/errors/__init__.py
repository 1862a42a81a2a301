"""Where classifiers err: confusions, slices, doubtful training labels, and what one run gets right and another not."""
