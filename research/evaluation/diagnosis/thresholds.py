"""From where on something looks wrong. A false alarm costs more than silence: each bound leaves noise behind."""

POINTS = 20  # logged steps before anything is said of a curve: a tenth of fewer is one batch
MEASURES = 3  # measured gradients, or validations, before anything is said of them: a median of fewer is one of them
EXPECTED = 5  # logged steps in which a drawn stream should have come: by chance it stays away in one run of 150

DOMINANT = 0.95  # share of the pull: all others together turn the step by at most 3 degrees, arctan(0.05 / 0.95)
DOMINANT_LOSS = 0.99  # share of the weighted loss, a poor stand-in for the pull, and so a stricter bound,
ORDINARY_LOSS = 0.9  # of a loss that without weights has a smaller share than this: the weights made it so

SILENT = 1e-3  # share of the gradients, with weights and without: rounding the others to bfloat16 moves the step more
LEARNED = 0.5  # a loss that has fallen to this share of its first has a small gradient because it is learned

FLAT_POINTS = 100  # logged steps before a loss is called flat: warm-up alone is often 50
FLAT = 0.02  # of the loss: change plus two standard errors; noise that could hide a larger change keeps silent

RISEN = 1.5  # times its best level: batches of a language model differ by less
SHARE_OF_START = 0.5  # of the first weighted losses: a small loss may grow many times, as that of L2-SP from 0
SPIKE_BEFORE = 50  # logged steps before a spike, of which it is measured:
SPIKE = 4.0  # times the distance of their highest from their median, by a median of 5 steps: no one batch moves it,
SPIKE_SHARE = 0.25  # and a rise by this share of the first weighted losses; learned tasks have hard batches

INFINITE = 0.05  # share of the steps: a gradient scaler finds its factor by a few such steps at the start

WORSE = 1.1  # times the best validation loss: the same texts are measured each time, so no batch explains it,
WORSE_SHARE = 0.05  # and a rise by this share of the first one: 0.002 after 0.001 is nothing

CONFLICT = -0.2  # cosine: unrelated gradients of millions of numbers have one of about 0.001

CHANCE = 0.05  # Cohen's kappa: chance is 0, or strays so far by luck among 400 texts; a useful teacher has 0.3

STARVING = 0.25  # share of the time: a loader that keeps up would make the run a third faster
