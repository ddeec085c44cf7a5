"""How probable each class makes a recording: Bayes' rule, with everything that is not seen integrated out."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm

from benchmarks.ideal.law import FEMALE, OF_CLASS, Floats, Law, Seen, depths, patients, used_by
from benchmarks.ideal.proposals import Mixture, Proposal, kinds_at, modes
from core.data import cohort, noise
from core.data.simulator import waveforms

# N drawn patients, K components, M kinds of noise, H high-passes, J depths of the noise, C classes

DRAWN: Final = 1_500
ENOUGH: Final = 60
"""Draws that must count (effective sample size) for a sum to be trusted."""
NEGLIGIBLE: Final = 0.01
"""Probability of a class."""
ROUNDS: Final = 5
STARTS: Final = 4
"""Of either sex with either high-pass, in each round."""
KINDS: Final = 30
"""Of noise with one high-pass that are looked at: the likeliest."""
DEPTHS: Final = 5


def log_evidence(law: Law, seen: Seen, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(C,) ln of how probable each class makes level and recording, and (C,) how many draws count in its sum."""
    profound = np.log(law.level_share(seen.level_db, law.profound_db).mean() + 1e-300) + _silence(law, seen)
    found_C, counting_C = np.full(len(cohort.CLASS_SHARE), profound), np.full(len(cohort.CLASS_SHARE), np.inf)
    for kind in OF_CLASS:
        found_C[kind], counting_C[kind] = _responding(law, seen, kind, rng)
    share, heard = cohort.SILENT_NEUROPATHIES, found_C[cohort.NEUROPATHY]
    found_C[cohort.NEUROPATHY] = np.logaddexp(np.log(share) + profound, np.log1p(-share) + heard)
    return found_C, counting_C


def posterior(law: Law, seen: Seen, rng: np.random.Generator) -> tuple[Floats, float]:
    """(C,) probabilities of the classes, and the fewest draws behind one that is not negligible."""
    found_C, counting_C = log_evidence(law, seen, rng)
    found_C += np.log(cohort.CLASS_SHARE)
    probability_C = np.exp(found_C - logsumexp(found_C))
    return probability_C, float(counting_C[probability_C > NEGLIGIBLE].min())


def _silence(law: Law, seen: Seen) -> float:
    """Ln of how probable the recording is without a response."""
    node_J, weight_J = hermegauss(15)
    sd_J, ratio_J = depths(seen, node_J)
    ln_MJ = -0.5 * (law.logdet_M[:, None] + seen.power_M[:, None] / sd_J**2) - noise.SAMPLES * np.log(sd_J) + ratio_J
    return float(logsumexp(ln_MJ, b=law.share_M[:, None] * weight_J / weight_J.sum()))


def _log_likelihood(law: Law, seen: Seen, latents: pd.DataFrame, likely_M: Floats) -> Floats:
    """(N,) ln of how probable these patients make level and recording, over all noise that is likely at all."""
    size_NK = waveforms(latents)[0] @ law.basis_TK.astype(np.float32)
    highpass_N = latents["highpass_hz"].to_numpy()
    found_N = np.empty(len(latents))
    node_J, weight_J = hermegauss(DEPTHS)
    sd_J, ratio_J = depths(seen, node_J)
    told_J = ratio_J + np.log(weight_J / weight_J.sum()) - noise.SAMPLES * np.log(sd_J)
    for highpass in np.unique(highpass_N):
        mine_N = highpass_N == highpass
        among_M = np.where(law.highpass_M == highpass, likely_M, 0.0)
        kinds = np.argsort(-among_M)[:KINDS]
        size_nK = size_NK[mine_N]
        own_nJ = (np.matmul(size_nK, law.gram_MKK[kinds].astype(np.float32)) * size_nK).sum(axis=2).T
        left_nJ = seen.power_M[kinds] - 2 * size_nK @ seen.towards_MK[kinds].T + own_nJ
        share_J = np.log(law.share_M[kinds] / law.share_M[law.highpass_M == highpass].sum()) - 0.5 * law.logdet_M[kinds]
        each = [share_J + told - 0.5 * left_nJ / sd**2 for told, sd in zip(told_J, sd_J, strict=True)]
        found_N[mine_N] = logsumexp(np.concatenate(each, axis=1), axis=1)
    tested_N = np.log(law.level_share(seen.level_db, latents["threshold_db"].to_numpy()) + 1e-300)
    return np.asarray(found_N + tested_N)


def _responding(law: Law, seen: Seen, kind: int, rng: np.random.Generator) -> tuple[float, float]:
    """Ln of how probable patients of the class who respond make level and recording; how many draws count."""
    used = used_by(kind)
    proposals: list[Proposal] = []
    likely_M = seen.likely_M
    corner_H, usual_H = np.array(cohort.HIGHPASS_HZ).T
    best = (-np.inf, 0.0)
    for _ in range(ROUNDS):
        likely_H = np.array([likely_M[law.highpass_M == corner].sum() for corner in corner_H])
        drawn = Mixture(kind, 0.9 * likely_H / likely_H.sum() + 0.1 * usual_H, proposals)
        normal_ND, highpass_N = drawn.draw(rng, DRAWN)
        law_N = norm.logpdf(normal_ND[:, used]).sum(axis=1) + np.log(usual_H)[highpass_N]
        likely_N = _log_likelihood(law, seen, patients(seen, kind, normal_ND, corner_H[highpass_N]), likely_M)
        weight_N = likely_N + law_N - drawn.log_density(normal_ND, highpass_N)
        counting = _counting(weight_N)
        if counting > best[1]:
            best = (float(logsumexp(weight_N) - np.log(DRAWN)), counting)
        if counting >= ENOUGH:
            break
        start_S = _starts(likely_N + law_N, highpass_N, normal_ND[:, FEMALE] > 0)
        noise_S = np.array([np.argmax((law.highpass_M == corner_H[highpass_N[n]]) * likely_M) for n in start_S])
        proposals += modes(law, seen, kind, normal_ND[start_S], noise_S)
        likely_M = 0.1 * law.share_M + 0.9 * kinds_at(law, seen, proposals)
    return best


def _starts(worth_N: Floats, highpass_N: NDArray[np.int64], female_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(S,) the best draws of either sex with either high-pass."""
    order_N = np.argsort(-worth_N)
    group_N = (2 * highpass_N + female_N)[order_N]
    return np.concatenate([order_N[group_N == group][:STARTS] for group in np.unique(group_N)])


def _counting(log_weight_N: Floats) -> float:
    """Effective sample size."""
    return float(np.exp(2 * logsumexp(log_weight_N) - logsumexp(2 * log_weight_N)))
