"""Importance resampling against the exact normal answer; the same numbers from the same seed."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.integrate import quad

from secondlook.inference.options import Options
from secondlook.inference.sampling import resample, sample, stack
from secondlook.models.priors import Prior

OLD, NEW = Prior("weak", (0.0,), (1.0,)), Prior("sceptical", (0.0,), (0.3,))
Y, S = -0.4, 0.15


@pytest.fixture
def effects(normal_posterior):
    mean, sd = normal_posterior(Y, S, 0.0, 1.0)
    return np.random.default_rng(11).normal(mean, sd, (4, 5000))


def moved(effects, new, seed=(1, 0, 0)):
    result = resample(new.log_density(effects) - OLD.log_density(effects), seed)
    return result, np.take_along_axis(effects, result.chosen, axis=-1)


def test_resampled_draws_follow_the_other_priors_posterior(effects, normal_posterior):
    result, values = moved(effects, NEW)
    exact = stats.norm(*normal_posterior(Y, S, 0.0, 0.3))
    count = effects.size * result.efficiency
    assert values.mean() == pytest.approx(exact.mean(), abs=4 * exact.std() / np.sqrt(count))
    assert values.std() == pytest.approx(exact.std(), rel=4 / np.sqrt(2 * count))
    for probability in (0.025, 0.5, 0.975):
        error = np.sqrt(probability * (1 - probability) / count) / exact.pdf(exact.ppf(probability))
        assert np.quantile(values, probability) == pytest.approx(exact.ppf(probability), abs=4 * error)
    assert result.k_hat < 0.7


def test_efficiency_is_kishs(effects, normal_posterior):
    """E[w]^2 / E[w^2] under the old posterior, by quadrature."""
    old = stats.norm(*normal_posterior(Y, S, 0.0, 1.0))

    def moment(power):
        def integrand(x):
            return np.exp(power * (NEW.log_density(x) - OLD.log_density(x))) * old.pdf(x)

        return quad(integrand, -2, 1)[0]

    expected = moment(1) ** 2 / moment(2)
    assert moved(effects, NEW)[0].efficiency == pytest.approx(expected, rel=0.02)


def test_a_mixture_prior_may_be_had_too(effects):
    robust = Prior("robust", (-0.2, 0.0), (0.2, 1.0), (0.5, 0.5))
    _, values = moved(effects, robust)

    def density(x):
        return stats.norm.pdf(Y, x, S) * np.exp(robust.log_density(x))

    total = quad(density, -2, 1)[0]
    assert values.mean() == pytest.approx(quad(lambda x: x * density(x), -2, 1)[0] / total, abs=0.008)


def test_a_prior_far_away_has_a_high_k_hat(effects):
    assert moved(effects, Prior("far", (2.0,), (0.05,)))[0].k_hat > 0.7


def test_the_same_density_changes_nothing(effects):
    result, values = moved(effects, OLD)
    np.testing.assert_array_equal(values, effects)
    assert (result.k_hat, result.efficiency) == (0.0, 1.0)


def test_the_same_density_written_otherwise_changes_nothing(effects):
    """A mixture of one normal with itself: log ratios of rounding error."""
    result, values = moved(effects, Prior("twice", (0.0, 0.0), (1.0, 1.0), (0.3, 0.7)))
    np.testing.assert_array_equal(values, effects)
    assert (result.k_hat, result.efficiency) == (0.0, 1.0)


def test_largest_weights_that_are_all_the_same_need_no_smoothing():
    log_ratio = np.minimum(np.random.default_rng(13).normal(size=(4, 1000)), 0.5)
    result, weights = resample(log_ratio, (1,)), np.exp(log_ratio)
    assert result.k_hat == 0
    assert result.efficiency == pytest.approx(weights.mean() ** 2 / (weights**2).mean())
    counts = np.stack([np.bincount(chain, minlength=1000) for chain in result.chosen])
    assert (np.abs(counts - weights / weights.mean(axis=1, keepdims=True)) < 1).all()


@pytest.mark.parametrize("log_ratio", [np.arange(24.0).reshape(2, 12), np.repeat([[0.0, 1.0, 2.0]], [960, 36, 4], 1)])
def test_ratios_without_a_pareto_tail_are_not_trusted(log_ratio):
    assert resample(log_ratio, (1,)).k_hat == np.inf


def test_each_draw_is_chosen_as_often_as_its_weight_says():
    """Systematic resampling within a chain: each count is its expectation rounded up or down."""
    log_ratio = np.random.default_rng(12).normal(0, 0.5, (2, 1000))
    counts = np.stack([np.bincount(chain, minlength=1000) for chain in resample(log_ratio, (3,)).chosen])
    expected = np.exp(log_ratio) / np.exp(log_ratio).sum(axis=1, keepdims=True) * 1000
    largest = np.quantile(log_ratio, 0.8)  # beyond, smoothing moves the weights a little
    assert (np.abs(counts - expected)[log_ratio < largest] < 1.1).all()
    assert (counts.sum(axis=1) == 1000).all()


def test_resampling_depends_on_its_seed_alone(effects):
    assert (moved(effects, NEW)[0].chosen == moved(effects, NEW)[0].chosen).all()
    assert (moved(effects, NEW, (2, 0, 0))[0].chosen != moved(effects, NEW)[0].chosen).any()


def test_imputations_are_stacked_behind_chain_and_draw(effects):
    parts = [
        xr.Dataset({"beta": (("chain", "draw", "interval"), effects[:, :6].reshape(4, 3, 2) + i)}) for i in (0, 1)
    ]
    whole = stack(parts)
    assert whole.beta.dims == ("chain", "draw", "imputation", "interval")
    np.testing.assert_array_equal(whole.beta.isel(imputation=1), parts[1].beta)


@pytest.mark.usefixtures("mf07_effects")
def test_seed_and_imputation_decide_the_draws(pytestconfig):
    """One compiled model, sampled again; the other tests' fit came before."""
    compiled = vars(pytestconfig)["compiled_graphs"]["mf07 effects"]

    def draws(seed, imputation, cores=None):
        options = Options(draws=50, chains=2, seed=seed)
        return sample(compiled, {}, options, imputation, cores=cores)[0]["theta"].to_numpy()

    for cores in (1, 2):  # whatever else there is to do
        np.testing.assert_array_equal(draws(1, 0), draws(1, 0, cores))
    assert (draws(1, 0) != draws(2, 0)).any()
    assert (draws(1, 0) != draws(1, 1)).any()


def test_what_is_kept_of_a_run(mf07_effects):
    tree = mf07_effects.fits[0].tree
    assert set(tree["posterior"].data_vars) == {"mu", "tau", "theta"}  # nothing of the geometry
    assert {"diverging", "energy"} <= set(tree["sample_stats"].data_vars)


def test_cold_and_warm_cache_give_the_same_digits(compilations):
    """Two processes, the first with an empty compilation cache: identical draws, to the last bit."""
    process, place = compilations
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    cold, warm = ((place / run).read_text() for run in ("cold", "warm"))
    assert len(cold) > 2 * 8 * 200
    assert cold == warm
