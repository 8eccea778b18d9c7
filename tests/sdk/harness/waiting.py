"""Waiting for something to be so, with a limit, and never for a guess."""

import time

# After this a wait has failed. Generous, since test machines are slow and shared; no test measures by it.
LIMIT_SECONDS = 60

LOOK_EVERY_SECONDS = 0.01


def until(what, look):
    """Looks until there is something, and answers it."""
    give_up_at = time.monotonic() + LIMIT_SECONDS
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > give_up_at:
            raise AssertionError(f"waited {LIMIT_SECONDS} s in vain: {what}")
        time.sleep(LOOK_EVERY_SECONDS)


class Heard:
    """What a handler was called with, in order; it is itself the handler."""

    def __init__(self):
        self.all = []

    def __call__(self, what=None):
        self.all.append(what)

    def wait(self, what, suits=lambda item: True):
        """Waits for the first that suits."""
        return until(
            f"{what}; heard was {self.all!r}",
            lambda: next(([item] for item in list(self.all) if suits(item)), None),
        )[0]

    def wait_for_number(self, number):
        """Waits until it was called so often, and answers all that it was called with."""
        until(f"{number} calls; heard was {self.all!r}", lambda: len(self.all) >= number)
        return list(self.all)

    def forget(self):
        """Begins anew."""
        self.all.clear()
