"""Multinomial diffusion of codes (Hoogeboom et al. 2021, arXiv:2102.05379); imported late.

A step of noise keeps a code or replaces it by a uniform one. So every expectation over the codes of
a column is a sum over its block and two of its members: nothing here loops over columns or forms a
table of categories times categories, and all of it is finite for any number of categories.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..views.blocks import Blocks

SMALLEST = 1e-30  # share whose logarithm is finite


class Leap(NamedTuple):
    """What noise does between an earlier time and a later one; shapes (n, 1) or (1,).

    Parameters
    ----------
    kept, lost : Tensor
        Shares of signal and noise at the later time; they add to 1, and so do the next two pairs.
    kept_before, lost_before : Tensor
        At the earlier time.
    kept_between, lost_between : Tensor
        Of the step from the earlier time to the later one.
    """

    kept: Tensor
    lost: Tensor
    kept_before: Tensor
    lost_before: Tensor
    kept_between: Tensor
    lost_between: Tensor


class Codes:
    """Multinomial diffusion of many columns at once.

    Parameters
    ----------
    blocks : Blocks
        Where the columns' categories stand; a code is a place.
    members : Tensor, optional
        Which block a place belongs to, as in ``blocks.blocks``, where some belong to none: there is
        no such category, and its logits are to be lowest.
    """

    def __init__(self, blocks: Blocks, members: Tensor | None = None) -> None:
        self.blocks = blocks
        self.members = blocks.blocks if members is None else members
        self.counts = self.members.sum(0).long()
        self.starts = torch.from_numpy(blocks.starts).to(blocks.device)
        self.chance = 1 / self.counts.float()
        self.log_chance = -self.counts.float().log()[blocks.owners]

    def uniform(self, uniforms: Tensor) -> Tensor:
        """Return places drawn evenly from each block, by uniforms of shape (n, columns)."""
        drawn = torch.minimum((uniforms * self.counts).long(), self.counts - 1)
        return self.starts + drawn

    def noisy(self, places: Tensor, uniforms: Tensor, kept: Tensor) -> Tensor:
        """Replace places by uniform ones, each with chance 1 - ``kept`` (their equation 12).

        Parameters
        ----------
        places : Tensor of int64, shape (n, columns)
        uniforms : Tensor, shape (2, n, columns)
        kept : Tensor
            Shape (n, 1) or (1,).
        """
        return torch.where(uniforms[0] < kept, places, self.uniform(uniforms[1]))

    def divergence(self, logits: Tensor, clean: Tensor, noisy: Tensor, leap: Leap) -> Tensor:
        """Return KL(q(earlier | later, clean) || p(earlier | later)) of every code.

        Their equations 13 to 15, where p stands for q with the predicted shares in the place of the
        clean code. If the earlier time is 0, it is minus the log-likelihood of the clean code.

        Parameters
        ----------
        logits : Tensor, shape (n, width)
            Of the clean codes, as predicted; best, by what the other columns tell of them.
        clean, noisy : Tensor of int64, shape (n, columns)
            Places at time 0 and at the later time.
        leap : Leap
            The step; shapes (n, 1).

        Returns
        -------
        Tensor, shape (n, columns)
            >= 0 but for rounding.
        """
        _, _, kept, lost, step, noise = leap
        before = torch.logaddexp(
            kept.log() + self.blocks.log_shares(logits), lost.log() + self.log_chance
        )
        at_clean, at_noisy = before.gather(1, clean), before.gather(1, noisy)
        same = (clean == noisy).float()
        stray, elsewhere = lost * self.chance, noise * self.chance
        chance_noisy = step * (same * kept + stray) + elsewhere
        chance_clean = (step * same + elsewhere) * (kept + stray) / chance_noisy
        true = (
            chance_clean * (kept + stray).log()
            + (1 - chance_clean) * stray.clamp(min=SMALLEST).log()
        )
        predicted = (
            kept * (step * same + elsewhere) * at_clean
            + stray * (step * at_noisy + elsewhere * (before @ self.members))
        ) / chance_noisy
        normalised = torch.logaddexp(step.log() + at_noisy, elsewhere.log())
        return true - chance_noisy.log() - predicted + normalised

    def earlier(self, logits: Tensor, noisy: Tensor, leap: Leap, generator: Generator) -> Tensor:
        """Draw the codes at the earlier time, given those at the later one.

        p(earlier | later) is a mixture: the later code, or any code by its share at the earlier
        time, which in turn is a mixture of the predicted shares and a uniform code.
        """
        shares = self.blocks.log_shares(logits).exp()
        predicted = shares.gather(1, noisy)
        stays = leap.kept_between * (leap.kept_before * predicted + leap.lost_before * self.chance)
        stays = stays / (stays + leap.lost_between * self.chance)
        clean = self.blocks.draw(shares, generator)
        uniforms = torch.rand(3, *clean.shape, generator=generator, device=clean.device)
        drawn = self.noisy(clean, uniforms[:2], leap.kept_before)
        return torch.where(uniforms[2] < stays, noisy, drawn)
