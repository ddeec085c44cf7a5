import numpy as np
import pandas as pd
import pytest

from core.data.noise import residual_noise
from core.data.observer import PARAMETERS, _true, fisher_information, read_latents
from core.data.simulator import simulate_split, waveforms


@pytest.fixture(scope="module")
def latents():
    return simulate_split("val", 600, 3)[1]


def test_the_amplitude_is_read_as_well_as_a_matched_filter_reads_it(latents):
    # Of a known shape in noise of a known covariance the best linear estimate of the size has variance 1 / information.
    one = latents[latents["amplitude_uv"] > 0.2].iloc[[0]]
    one = one.assign(ratio_i=0.0, ratio_iii=0.0)
    information = fisher_information(one)[0, 0, 0]
    count = 2_000
    band = (np.full(count, one["highpass_hz"].iloc[0]), np.full(count, one["lowpass_hz"].iloc[0]))
    noise = residual_noise(np.random.default_rng(0), np.full(count, one["noise_sd_uv"].iloc[0]), *band)
    shape = waveforms(one.assign(amplitude_uv=1.0))[0][0].astype(np.float64)
    covariance = np.cov(noise.astype(np.float64).T) + 1e-5 * noise.var() * np.eye(len(shape))
    direction = np.linalg.solve(covariance, shape)
    spread = (noise @ direction).std() / (shape @ direction)
    assert spread == pytest.approx(information**-0.5, rel=0.35)


def test_information_falls_with_the_square_of_the_noise(latents):
    quiet = fisher_information(latents.iloc[:20])
    loud = fisher_information(latents.iloc[:20].assign(noise_sd_uv=3 * latents["noise_sd_uv"]))
    np.testing.assert_allclose(quiet, 9 * loud, rtol=1e-9, atol=1e-9)


def test_large_responses_are_read_well_and_absent_ones_not_at_all(latents):
    read = read_latents(latents, seed=1)
    assert tuple(read.columns) == PARAMETERS
    error = np.abs(read["latency_v_ms"].to_numpy() - latents["latency_v_ms"].to_numpy())
    size = latents["amplitude_uv"].to_numpy() / latents["noise_sd_uv"].to_numpy()
    assert np.median(error[size > 8]) < 0.1
    assert np.median(error[size < 0.1]) > 2


def test_nothing_is_lost_without_noise(latents):
    still = latents[latents["amplitude_uv"] > 0.05].assign(noise_sd_uv=1e-9)
    read = read_latents(still, seed=1)
    np.testing.assert_allclose(read["latency_v_ms"], still["latency_v_ms"], atol=1e-3)
    np.testing.assert_allclose(read["amplitude_uv"], still["amplitude_uv"], atol=1e-3)


def test_errors_of_a_recording_have_the_covariance_that_its_information_allows(latents):
    size = latents["amplitude_uv"] * latents["ratio_i"]
    two = latents.loc[size.nlargest(2).index]
    many = pd.concat([two] * 4_000, ignore_index=True)
    error = (read_latents(many, seed=1).to_numpy() - _true(many))[::2]
    expected = np.linalg.inv(fisher_information(two.iloc[[0]])[0])
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(np.cov(error.T) / np.outer(scale, scale), expected / np.outer(scale, scale), atol=0.08)
