"""Where drawn patients are led when hardly any fits a recording: multivariate t around the posterior's modes.

What is not a matter of degree, the recording's high-pass and the patient's sex, belongs to a mode: elsewhere the same
recording asks for other numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_t, norm

from benchmarks.ideal.law import FEMALE, NUMBERS, Floats, Law, Seen, patients, used_by
from core.data.cohort import HIGHPASS_HZ
from core.data.simulator import waveforms

# N drawn patients, D numbers that a patient is drawn by, S starts, K components, M kinds of noise, J proposals

DESCENTS: Final = 15
STEP: Final = 1e-2
"""Of difference quotients."""
WIDER: Final = 1.2
TAILS: Final = 6
"""Degrees of freedom of the proposals: they have to reach beyond the posterior."""
LEAST: Final = 0.02
"""Share of a proposal, against the best one's."""
FROM_LAW: Final = 0.1
"""Share of draws from the law itself."""
KEEPS: Final = 0.95
"""Share of a mode's draws with its high-pass."""
SEX, SEX_SPREAD = 0.8, 0.6
"""Mean and spread of one half of a normal number."""


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """Numbers around a mode."""

    around: Any
    """A frozen `multivariate_t` over the numbers that the class uses."""
    highpass: int
    """Place in `HIGHPASS_HZ`."""
    share: float
    size_K: Floats
    """The response at the mode."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """What patients are drawn from: the law's normal numbers, and the proposals where there are any."""

    kind: int
    likely_H: Floats
    """How often each high-pass is drawn where no proposal says which."""
    proposals: Sequence[Proposal]

    @property
    def _share(self) -> Floats:
        """(J + 1,) of the proposals, and last of the law."""
        of_proposals = np.array([each.share for each in self.proposals])
        return np.append((1 - FROM_LAW) * of_proposals / of_proposals.sum(), FROM_LAW) if self.proposals else np.ones(1)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, NDArray[np.int64]]:
        """(count, NUMBERS) normal numbers of patients and (count,) places of their high-passes."""
        normal_ND = rng.standard_normal((count, NUMBERS))
        highpass_N = rng.choice(len(self.likely_H), count, p=self.likely_H)
        which_N = rng.choice(len(self.proposals) + 1, count, p=self._share)
        for number, each in enumerate(self.proposals):
            mine_N = np.flatnonzero(which_N == number)
            if len(mine_N) > 0:
                normal_ND[np.ix_(mine_N, used_by(self.kind))] = each.around.rvs(len(mine_N), random_state=rng)
            highpass_N[mine_N[rng.random(len(mine_N)) < KEEPS]] = each.highpass
        return normal_ND, highpass_N

    def log_density(self, normal_ND: Floats, highpass_N: NDArray[np.int64]) -> Floats:
        """(N,) of what `draw` draws, over the numbers that the class uses."""
        used_ND, free_N = normal_ND[:, used_by(self.kind)], self.likely_H[highpass_N]
        parts = [
            each.around.logpdf(used_ND) + np.log(KEEPS * (highpass_N == each.highpass) + (1 - KEEPS) * free_N)
            for each in self.proposals
        ]
        parts.append(norm.logpdf(used_ND).sum(axis=1) + np.log(free_N))
        return np.asarray(logsumexp(parts, axis=0, b=self._share[:, None]))


def kinds_at(law: Law, seen: Seen, proposals: Sequence[Proposal]) -> Floats:
    """(M,) how probable each kind of noise is given the responses at the modes."""
    found = np.zeros(len(law.share_M))
    for each in proposals:
        own_M = np.einsum("k,mkl,l->m", each.size_K, law.gram_MKK, each.size_K)
        left_M = seen.power_M - 2 * seen.towards_MK @ each.size_K + own_M
        ln_M = np.log(law.share_M) - 0.5 * (law.logdet_M + left_M / seen.sd_uv**2)
        found += each.share * np.exp(ln_M - logsumexp(ln_M))
    return np.asarray(found / found.sum())


def modes(law: Law, seen: Seen, kind: int, start_SD: Floats, noise_S: NDArray[np.int64]) -> list[Proposal]:
    """Around where the posterior is highest near these starts; by damped Gauss-Newton steps (Marquardt 1963)."""
    used = used_by(kind)
    starts, count = len(start_SD), len(used)
    # The noise's root taken out, what is left of the recording are independent normal numbers.
    root_SKK = np.linalg.cholesky(law.gram_MKK[noise_S]).swapaxes(1, 2)
    aim_SK = np.linalg.solve(root_SKK.swapaxes(1, 2), seen.towards_MK[noise_S][..., None])[..., 0]
    step_DD = np.zeros((count + 1, start_SD.shape[1]))
    step_DD[np.arange(1, count + 1), used] = STEP
    # Nothing has a slope by sex: only the sign counts.
    step_DD[:, FEMALE] = 0.0

    def responses(place_SD: Floats) -> Floats:
        """(S, 1 + D, K) at the places, and a step beside them."""
        spread = (place_SD[:, None, :] + step_DD).reshape(-1, start_SD.shape[1])
        latents = patients(seen, kind, spread, np.repeat(law.highpass_M[noise_S], count + 1))
        sizes = waveforms(latents)[0].astype(np.float64) @ law.basis_TK
        return np.asarray(sizes.reshape(starts, count + 1, -1))

    def left(size_SK: Floats) -> Floats:
        return np.asarray((aim_SK - np.einsum("skl,sl->sk", root_SKK, size_SK)) / seen.sd_uv)

    def slopes(size: Floats) -> Floats:
        return np.asarray(np.einsum("skl,sdl->skd", root_SKK, (size[:, 1:] - size[:, :1]) / STEP) / seen.sd_uv)

    def depth(place_SD: Floats, size_SK: Floats) -> Floats:
        return np.asarray(0.5 * (left(size_SK) ** 2).sum(axis=1) + 0.5 * (place_SD[:, used] ** 2).sum(axis=1))

    place_SD, damping_S = start_SD.copy(), np.full(starts, 0.1)
    size = responses(place_SD)
    depth_S = depth(place_SD, size[:, 0])
    for _ in range(DESCENTS):
        slope_SKD = slopes(size)
        downhill_SD = np.einsum("skd,sk->sd", slope_SKD, left(size[:, 0])) - place_SD[:, used]
        bend_SDD = slope_SKD.swapaxes(1, 2) @ slope_SKD + np.eye(count)
        damped_SDD = bend_SDD * (1 + damping_S[:, None, None] * np.eye(count))
        tried_SD = place_SD.copy()
        tried_SD[:, used] += np.linalg.solve(damped_SDD, downhill_SD[..., None])[..., 0]
        tried = responses(tried_SD)
        tried_S = depth(tried_SD, tried[:, 0])
        better_S = tried_S < depth_S
        place_SD[better_S], size[better_S], depth_S[better_S] = tried_SD[better_S], tried[better_S], tried_S[better_S]
        damping_S = np.where(better_S, damping_S * 0.3, damping_S * 4)
    slope_SKD = slopes(size)
    spread_SDD = np.linalg.inv(slope_SKD.swapaxes(1, 2) @ slope_SKD + np.eye(count))
    sex = int(np.flatnonzero(used == FEMALE)[0])
    place_SD[:, FEMALE] = np.sign(place_SD[:, FEMALE]) * SEX
    spread_SDD[:, sex, sex] = SEX_SPREAD**2
    # Beside the depth: the noise's determinant, and the part of the recording outside the basis.
    outside_S = (seen.power_M[noise_S] - (aim_SK**2).sum(axis=1)) / seen.sd_uv**2
    ln_S = 0.5 * np.linalg.slogdet(spread_SDD)[1] - depth_S - 0.5 * (law.logdet_M[noise_S] + outside_S)
    share_S = np.maximum(np.exp(ln_S - ln_S.max()), LEAST)
    corners = [corner for corner, _ in HIGHPASS_HZ]
    return [
        Proposal(
            multivariate_t(place_SD[s, used], WIDER * spread_SDD[s], df=TAILS),
            corners.index(law.highpass_M[noise_S[s]]),
            float(share_S[s]),
            size[s, 0],
        )
        for s in range(starts)
    ]
