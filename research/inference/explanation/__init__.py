"""Why a student answers as it does: by its tokens, its layers, its attention and the examples that it learned from."""

METHODS = ("integrated-gradients", "occlusion", "attention")
