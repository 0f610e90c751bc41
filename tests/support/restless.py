"""A network whose training leaves its state all the time, so that it can be killed anywhere."""

from syntharena.generators.tvae import Tvae


class Restless(Tvae):
    """A small TVAE that saves whenever it looks at its losses, not every half minute.

    Tests put functions into ``strikes`` of the class. They are called at the second look, when the
    state of the first one has been saved.
    """

    strikes = ()

    def __init__(self, least_steps=200, latent=4):
        super().__init__(
            epochs=1,
            least_steps=least_steps,
            batch=32,
            hidden=8,
            latent=latent,
            modes=2,
            device="cpu",
        )

    def fit(self, train, *, schema, budget, rng):
        self.checkpoint.seconds = 0.0
        shown, looks = self.progress, []

        def progress(step, total, **losses):
            shown(step, total, **losses)
            looks.append(step)
            if len(looks) == 2:
                for strike in self.strikes:
                    strike()

        self.progress = progress
        return super().fit(train, schema=schema, budget=budget, rng=rng)
