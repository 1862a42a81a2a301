"""From a trained student to answers."""
