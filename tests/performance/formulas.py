"""Matrix FLOPs of a step by hand, from its sizes alone; a multiplication and addition count 2.

A linear map costs its product forward, and one for the gradient of its input and one for that of its weight on the way
back. An attention head multiplies twice forward (queries with keys, weights with values), and both products have two
gradients; :class:`research.models.attention.BlockedAttention` computes its weights anew, a fifth product.
"""

LINEAR, KEPT, ANEW = 3, 2 + 4, 2 + 5  # products of a training step for each of the forward pass, of heads for both


def bert(rows: int, length: int, width: int, inner: int, layers: int, training: bool) -> int:
    """An encoder's layers, of which 4 maps are of attention and 2 of the feed-forward part."""
    linear = 2 * rows * length * (4 * width**2 + 2 * width * inner)
    product = 2 * rows * length**2 * width
    return layers * ((LINEAR if training else 1) * linear + (ANEW if training else 2) * product)


def gpt2(rows: int, length: int, width: int, layers: int) -> int:
    """A training decoder's layers; the feed-forward part is four times as wide as the states."""
    return layers * (LINEAR * 2 * rows * length * 12 * width**2 + KEPT * 2 * rows * length**2 * width)


def t5(rows: int, source: int, target: int, width: int, inner: int, heads: int, layers: int, decoders: int) -> int:
    """A training encoder and decoder; ``heads`` is the width of all heads together."""
    attention, feed_forward = 4 * width * heads, 2 * width * inner
    encoder = LINEAR * 2 * rows * source * (attention + feed_forward) + KEPT * 2 * rows * source**2 * heads
    own = LINEAR * 2 * rows * target * (attention + feed_forward) + KEPT * 2 * rows * target**2 * heads
    across = LINEAR * 2 * rows * (target + source) * 2 * width * heads + KEPT * 2 * rows * target * source * heads
    return layers * encoder + decoders * (own + across)


def vocabulary(positions: int, width: int, size: int, transform: bool, training: bool = True) -> int:
    """The output embedding at the labelled positions alone, behind BERT's dense layer where there is one."""
    return (LINEAR if training else 1) * 2 * positions * width * (size + transform * width)


def classes(rows: int, width: int, count: int, taught: bool = False) -> int:
    """A linear head, and the teacher's without a gradient."""
    return (LINEAR + taught) * 2 * rows * width * count


def contrastive(rows: int, width: int) -> int:
    return LINEAR * 2 * rows**2 * width
