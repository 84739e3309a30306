"""Every statistic against an independent computation, and streams against one shot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, pearsonr
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.metrics.pairwise import cosine_similarity

from mobile_vla_ros.stats import cka, similarity
from mobile_vla_ros.stats.bootstrap import (
    bootstrap_mean,
    bootstrap_sums,
    jackknife,
    jackknife_sums,
)
from mobile_vla_ros.stats.moments import Moments
from mobile_vla_ros.stats.procrustes import procrustes_difference
from mobile_vla_ros.stats.regression import mae, r2, regression_sums, rmse


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_regression_metrics_agree_with_scikit_learn(rng: np.random.Generator) -> None:
    truth, predicted = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    sums = regression_sums(predicted, truth)
    for axis in range(2):
        pair = truth[:, axis], predicted[:, axis]
        assert rmse(sums)[axis] == pytest.approx(mean_squared_error(*pair) ** 0.5)
        assert mae(sums)[axis] == pytest.approx(mean_absolute_error(*pair))
        assert r2(sums)[axis] == pytest.approx(r2_score(*pair))


def test_left_out_values_do_not_count_even_when_they_are_nan() -> None:
    truth = np.array([[1.0], [np.nan], [3.0]])
    sums = regression_sums(np.array([[2.0], [9.0], [3.0]]), truth, ~np.isnan(truth))
    assert rmse(sums)[0] == pytest.approx(np.sqrt(0.5))


def test_r2_of_a_constant_truth_is_not_a_number() -> None:
    assert np.isnan(r2(regression_sums(np.ones(9) * 0.2, np.ones(9) * 0.3)))


def test_moments_of_batches_equal_moments_of_the_whole(rng: np.random.Generator) -> None:
    values = rng.normal(3, 2, size=(40, 6, 5))
    streamed = Moments.of(values[:7], axis=0)
    for start in range(7, 40, 11):
        streamed = streamed.merge(Moments.of(values[start : start + 11], axis=0))
    np.testing.assert_allclose(streamed.mean, values.mean(axis=0))
    np.testing.assert_allclose(streamed.std, values.std(axis=0))
    total = streamed.over()
    assert float(total.std) == pytest.approx(values.std())
    assert float(total.norm) == pytest.approx(np.linalg.norm(values))
    assert (float(total.minimum), float(total.maximum)) == (values.min(), values.max())


def test_paired_measures_agree_with_scipy_and_scikit_learn(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(5, 30)), rng.normal(size=(5, 30))
    np.testing.assert_allclose(similarity.paired_cosine(a, b), np.diag(cosine_similarity(a, b)))
    expected = [pearsonr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(similarity.paired_correlation(a, b), expected)
    expected = np.linalg.norm(a - b, axis=1) / np.sqrt(30)
    np.testing.assert_allclose(similarity.rms_distance(a, b), expected)


def test_histogram_divergences_agree_with_scipy(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 50, size=(3, 8)), rng.integers(1, 50, size=(3, 8))
    expected = [entropy(x + 0.5, y + 0.5) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(similarity.histogram_kl(a, b), expected)
    expected = [jensenshannon(x, y, base=2) ** 2 for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(similarity.histogram_jensen_shannon(a, b), expected, atol=1e-12)


def test_quantile_bins_are_equally_full_and_counts_match_numpy(rng: np.random.Generator) -> None:
    values = rng.normal(size=(1600, 3)) * [1, 5, 0.1]
    edges = similarity.quantile_edges(values, 16)
    counts = similarity.bin_counts(similarity.bin_index(values, edges), 16)
    assert counts.shape == (3, 16)
    assert np.ptp(counts) <= 2
    bounds = np.concatenate([[-np.inf], edges[1], [np.inf]])
    np.testing.assert_array_equal(counts[1], np.histogram(values[:, 1], bounds)[0])


def textbook_debiased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """U-centred inner products, from the definition of the bias-corrected distance covariance."""

    def u_centred(k: np.ndarray) -> np.ndarray:
        n = len(k)
        k = k.copy()
        np.fill_diagonal(k, 0)
        rows = k.sum(axis=1) / (n - 2)
        k = k - rows[:, None] - rows[None, :] + k.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(k, 0)
        return k

    k, m = u_centred(x @ x.T), u_centred(y @ y.T)
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


@pytest.mark.parametrize("shape", [(30, 5, 7), (12, 40, 20)])
def test_debiased_cka_agrees_with_u_centring_and_with_its_stream(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> None:
    n, p, q = shape
    x = rng.normal(3, 1, size=(n, p))
    y = np.tanh(x[:, : min(p, q)] @ rng.normal(size=(min(p, q), q))) + 5
    streamed = cka.StreamedCKA()
    for start in range(0, n, 5):
        streamed.add(x[start : start + 5], y[start : start + 5])
    expected = textbook_debiased_cka(x, y)
    assert cka.debiased_cka(x, y) == pytest.approx(expected, abs=1e-10)
    assert streamed.value() == pytest.approx(expected, abs=1e-10)


def test_plain_cka_of_noise_is_near_one_and_debiased_cka_near_zero(
    rng: np.random.Generator,
) -> None:
    x, y = rng.normal(size=(80, 2048)), rng.normal(size=(80, 2048))
    assert cka.linear_cka(x, y) == pytest.approx(0.96, abs=0.01)
    assert abs(cka.debiased_cka(x, y)) < 0.05


def test_cka_and_procrustes_do_not_see_rotation_and_scale(rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 8))
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    y = 3 * x @ rotation + 1
    assert cka.debiased_cka(x, y) == pytest.approx(1, abs=1e-10)
    assert procrustes_difference(x, y) == pytest.approx(0, abs=1e-10)


def test_procrustes_agrees_with_scipy(rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 8))
    y = x + rng.normal(size=(60, 8))
    assert procrustes_difference(x, y) == pytest.approx(procrustes(x, y)[2])
    narrow = np.concatenate([y[:, :5], np.zeros((60, 3))], axis=1)
    assert procrustes_difference(x, y[:, :5]) == pytest.approx(procrustes(x, narrow)[2])


def test_equal_sets_give_cosine_one_distance_zero_kl_zero_cka_one(
    rng: np.random.Generator,
) -> None:
    x = rng.normal(size=(20, 6))
    counts = np.histogram(x, 10)[0]
    np.testing.assert_allclose(similarity.paired_cosine(x, x), 1)
    assert similarity.rms_distance(x, x).max() == 0
    assert similarity.histogram_kl(counts, counts) == 0
    assert cka.debiased_cka(x, x) == pytest.approx(1, abs=1e-12)
    assert procrustes_difference(x, x) == pytest.approx(0, abs=1e-12)


def test_bootstrap_covers_the_mean_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sample = rng.normal(1, 2, size=40)
        interval = bootstrap_mean(sample, np.ones(40), rng, resamples=400)
        covered += interval.low <= 1 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_bootstrap_over_episodes_is_wider_than_over_frames_when_frames_agree(
    rng: np.random.Generator,
) -> None:
    frames = np.repeat(rng.normal(size=20), 30)
    by_frame = bootstrap_mean(frames, np.ones(600), np.random.default_rng(0))
    by_episode = bootstrap_mean(
        frames.reshape(20, 30).sum(axis=1), np.full(20, 30), np.random.default_rng(0)
    )
    assert by_episode.high - by_episode.low > 3 * (by_frame.high - by_frame.low)


def test_bootstrap_with_one_seed_repeats_and_with_one_episode_says_nothing() -> None:
    sums = regression_sums(np.zeros((6, 4)), np.arange(24).reshape(6, 4))
    first = bootstrap_sums(sums, rmse, np.random.default_rng(1))
    assert first == bootstrap_sums(sums, rmse, np.random.default_rng(1))
    alone = bootstrap_sums(sums[:1], rmse, np.random.default_rng(1))
    assert np.isnan(alone.low)
    assert np.isfinite(alone.value)


def test_jackknife_of_a_mean_is_the_textbook_standard_error(rng: np.random.Generator) -> None:
    sample = rng.normal(size=20)
    interval = jackknife(lambda keep: sample[keep].mean(), np.arange(20))
    half = 2.093 * sample.std(ddof=1) / np.sqrt(20)
    assert interval.high - interval.value == pytest.approx(half, rel=1e-3)


def test_jackknife_of_sums_is_the_jackknife_of_rows(rng: np.random.Generator) -> None:
    sample = rng.normal(size=(20, 2)) ** 2
    by_sums = jackknife_sums(sample, lambda total: total[..., 0] / total[..., 1])
    by_rows = jackknife(lambda keep: sample[keep, 0].sum() / sample[keep, 1].sum(), np.arange(20))
    assert by_sums.low == pytest.approx(by_rows.low)
    assert by_sums.high == pytest.approx(by_rows.high)
