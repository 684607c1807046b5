"""The whole job: from a trial to posterior probabilities of benefit, diagnostics and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..data import InputError, Record, load_record
from ..data.audit import about_headline, audit, findings_frame
from ..data.curves import RebuiltCurves
from ..data.errors import input_error
from ..data.evidence import Study, pooled_trials, studies_of, why_alone
from ..data.imbalance import imbalance_terms
from ..data.imputed import FIT_SHEET_COLUMNS, Imputed
from ..data.labels import number_of
from ..data.patient_files import as_frame
from ..data.reconstruction import check_partition, outside_partitions, reconstruct
from ..models.priors import PRIMARY, available_priors, named_prior
from ..models.shrinkage import ShrinkageForm
from . import binary, synthesis
from .binary import binary_rows, endpoints_of
from .comparison import comparison_rows
from .conflict import conflict_rows, external_facts
from .credibility import credibility, homogeneity, trials_without_heterogeneity
from .fitting import Fit, Result, Task, fit_tasks
from .imbalance import adjusting, imbalance_rows
from .imputations import Imputations
from .judging import judged
from .options import Options
from .reported import HEADLINE_MODELS
from .sensitivity import sensitivity
from .sources import Notes, Notify, tables_of, tell_nobody
from .synthesis import evidence_rows
from .tables import (
    BINARY,
    CHECKS,
    COMPARISON,
    CONFLICT,
    CREDIBILITY,
    DIAGNOSTICS,
    ESTIMATES,
    EVIDENCE,
    HOMOGENEITY,
    IMBALANCE,
    MODEL_COMPARISON,
    PRIOR_PREDICTIVE,
    PSENSE,
    SENSITIVITY,
    TABLES,
    TIPPING,
)
from .tasks import (
    MODELS,
    PIECEWISE_MODELS,
    PRIMARY_SHRINKAGE,
    baseline_note,
    default_landmarks,
    intervals_note,
    tasks_of,
)
from .versions import run_facts

WITHHELD_IMPUTATIONS = 80  # for an interval at 95%
REPORTED_SHRINKAGES = (PRIMARY_SHRINKAGE, "none")  # shrunken beside raw
ADJUSTED_MODEL = "piecewise"


@dataclass(frozen=True)
class Reanalysis:
    """Everything that a reanalysis found.

    Parameters
    ----------
    record
        The trial.
    tables
        Survival tables by month, one imputation per reconstruction, by partition: ``""`` is the whole trial as one
        stratum. Empty when only effects are published.
    fits
        Posteriors.
    estimates, comparison, diagnostics, audit, reconstruction
        Tables with the columns of the files of the same names.
    run
        Versions, options, hashes and notes: the contents of ``run.json``.
    imbalance, credibility, homogeneity, binary, conflict, evidence, checks, model_comparison, prior_predictive,
    sensitivity, tipping, psense
        Tables with the columns of the files of the same names; without rows where there is nothing to say.
    """

    record: Record
    tables: Mapping[str, xr.Dataset]
    fits: tuple[Fit, ...]
    estimates: pd.DataFrame
    comparison: pd.DataFrame
    diagnostics: pd.DataFrame
    audit: pd.DataFrame
    reconstruction: pd.DataFrame
    run: Mapping[str, Any] = field(repr=False)
    imbalance: pd.DataFrame = field(default_factory=IMBALANCE.empty)
    credibility: pd.DataFrame = field(default_factory=CREDIBILITY.empty)
    homogeneity: pd.DataFrame = field(default_factory=HOMOGENEITY.empty)
    binary: pd.DataFrame = field(default_factory=BINARY.empty)
    conflict: pd.DataFrame = field(default_factory=CONFLICT.empty)
    evidence: pd.DataFrame = field(default_factory=EVIDENCE.empty)
    checks: pd.DataFrame = field(default_factory=CHECKS.empty)
    model_comparison: pd.DataFrame = field(default_factory=MODEL_COMPARISON.empty)
    prior_predictive: pd.DataFrame = field(default_factory=PRIOR_PREDICTIVE.empty)
    sensitivity: pd.DataFrame = field(default_factory=SENSITIVITY.empty)
    tipping: pd.DataFrame = field(default_factory=TIPPING.empty)
    psense: pd.DataFrame = field(default_factory=PSENSE.empty)

    @property
    def table(self) -> xr.Dataset | None:
        """The whole trial's survival table, where there is one."""
        return self.tables.get("")

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Return a table by its name.

        Parameters
        ----------
        name
            One of those in `inference.tables`, such as ``estimates``.

        Raises
        ------
        KeyError
            When there is no such table.
        """
        if name not in {table.name for table in TABLES}:
            raise KeyError(name)
        return getattr(self, name)  # type: ignore[no-any-return]

    def headline(self) -> pd.DataFrame:
        """Return the estimates that are *the* overall hazard ratio, one row per prior, the first prior first.

        It is the crude one, the same at all times: of the piecewise model, or the printed one where there is no
        survival table; without rows where neither was fitted. Indexed by ``prior``, columns of ``estimates.csv``.
        """
        rows = self.estimates
        whole = rows[
            rows["estimand"].eq("hazard_ratio")
            & rows["time"].isna()
            & rows["subgroup"].eq("overall")
            & rows["partition"].eq("")
        ]
        model = next((name for name in HEADLINE_MODELS if whole["model"].eq(name).any()), "")
        return whole[whole["model"].eq(model)].set_index("prior", drop=False)

    @property
    def passed(self) -> bool:
        """Whether every reported quantity of every model passes the diagnostics gate."""
        return bool(self.diagnostics["passed"].all())

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be done and why, and what a reader must know."""
        return tuple(self.run["notes"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must stand beside every result: printed numbers that contradict the others, findings about them."""
        return tuple(self.run.get("warnings", ()))

    def save(self, directory: str | Path, *, keep: bool = False) -> None:
        """Write everything but figures and report, replacing an earlier reanalysis as a whole.

        Parameters
        ----------
        directory
            Where to write; created when missing.
        keep
            Keep other files that are there, such as figures.

        Raises
        ------
        InputError
            When the directory cannot be written or holds something else.
        """
        from .storage import replacing, write

        with replacing(directory, keep=keep) as staged:
            write(self, staged)


def reanalyse(
    trial: str | Path | Record,
    options: Options | None = None,
    notify: Notify = tell_nobody,
    patients: pd.DataFrame | None = None,
) -> Reanalysis:
    """Reanalyse a trial under every model and named prior that its record supports.

    Parameters
    ----------
    trial
        Id of a built-in trial, path of a record, or a record.
    options
        How to run it.
    notify
        Told what is being done, and notes.
    patients
        One row per patient, with the columns that the record's ``patients`` names; in place of its file.

    Raises
    ------
    InputError
        When the record, the patients or an option is wrong.
    """
    return analyse(
        _of(trial, patients), MODELS, None, None, REPORTED_SHRINKAGES, options or Options(), notify, vary=True
    )


def fit(
    trial: str | Path | Record,
    model: str = "piecewise",
    prior: str = PRIMARY,
    partition: str | None = None,
    shrinkage: str = PRIMARY_SHRINKAGE,
    options: Options | None = None,
    notify: Notify = tell_nobody,
    patients: pd.DataFrame | None = None,
) -> Reanalysis:
    """Fit one model to a trial under one prior.

    Parameters
    ----------
    trial
        Id of a built-in trial, path of a record, or a record.
    model
        ``piecewise``, ``nonproportional``, ``subgroups``, ``effects``, ``binary`` or ``evidence``.
    prior
        Name of the prior, or ``MEAN,SD``.
    partition
        For ``subgroups`` and ``effects``: only this partition, of all that the record has; for ``subgroups`` factors
        joined by commas, too.
    shrinkage
        For ``subgroups``: how the strata's effects are shrunken towards each other.
    options
        How to run it.
    notify
        Told what is being done, and notes.
    patients
        See `reanalyse`.

    Raises
    ------
    InputError
        When the record does not support the model, or the patients or an option are wrong.
    """
    if model not in MODELS:
        raise input_error("--model", "", model, f"not a model; give one of {', '.join(MODELS)}")
    ShrinkageForm(shrinkage)  # refuses an unknown one
    if shrinkage != PRIMARY_SHRINKAGE and model != "subgroups":
        raise input_error("--shrinkage", "", shrinkage, f"is for subgroups, not for {model}")
    known = _of(trial, patients)
    return analyse(known, (model,), (prior,), partition, (shrinkage,), options or Options(), notify)


def evidence(
    trials: Sequence[str | Path | Record],
    options: Options | None = None,
    notify: Notify = tell_nobody,
    *,
    force: bool = False,
) -> Reanalysis:
    """Pool trials of one question: random-effects meta-analysis, what it foretells, and what each trial adds.

    Parameters
    ----------
    trials
        Two or more trials: ids of built-in ones, paths of records, or records; or one, which is pooled with its
        sister trials. The results are those of the first.
    options
        How to run it.
    notify
        Told what is being done, and notes.
    force
        Whether to pool trials of different questions or endpoints.

    Raises
    ------
    InputError
        When a record or an option is wrong, or trials cannot be pooled.
    """
    first, *others = records = [_of(trial) for trial in trials]
    if not force:
        _check_one_question(records)
    studies = studies_of(records) if others else pooled_trials(first)
    if not studies:
        raise input_error("trial", "", first.id, why_alone(first))
    model = (synthesis.MODEL,)
    return analyse(
        first, model, (PRIMARY,), None, (PRIMARY_SHRINKAGE,), options or Options(), notify, studies=studies
    )


def _check_one_question(records: Sequence[Record]) -> None:
    """Refuse to pool trials that answer different questions, as far as their records say."""
    questions = {record.id: record.evidence.question if record.evidence else "not named" for record in records}
    endpoints = {record.id: record.endpoint.casefold() for record in records}
    for what, named in (("questions", questions), ("endpoints", endpoints)):
        if len(set(named.values())) > 1:
            told = "; ".join(f"{trial}: {name}" for trial, name in named.items())
            allowed = f"answer different {what}; pool trials of one, or use --force"
            raise input_error("TRIAL", "", told, allowed)


def _of(trial: str | Path | Record, patients: pd.DataFrame | None = None) -> Record:
    """Return a trial's record, which holds the patients that are given."""
    record = trial if isinstance(trial, Record) else load_record(trial)
    if patients is None:
        return record
    if record.patients is None:
        raise input_error(record.place, "patients", None, "missing: it tells what the columns of patients mean")
    return record.holding(as_frame(patients))


def analyse(
    trial: str | Path | Record,
    models: Sequence[str],
    priors: Sequence[str] | None,
    partition: str | None,
    shrinkages: Sequence[str],
    options: Options,
    notify: Notify,
    *,
    vary: bool = False,
    studies: Sequence[Study] = (),
) -> Reanalysis:
    """Fit some models under some priors; see `reanalyse` and `fit`.

    Parameters
    ----------
    models
        Which models; those that the record does not support are left out with a note, unless it is the only one.
    priors
        Names of the priors, the first sampled; every named prior that the record supports when ``None``.
    shrinkages
        Forms of shrinkage; the first under every prior, the others under the first prior.
    trial, partition, options, notify
        See `fit`.
    vary
        Whether to say what changes when assumptions do.
    studies
        Trials to pool; by default the trial and its sister trials.
    """
    record = _of(trial)
    names = priors or available_priors(record, options.design_hazard_ratio)
    design, tau_scale = options.design_hazard_ratio, options.trial_tau_scale
    chosen = [named_prior(name, record, design, tau_scale) for name in names]
    notes = Notes(notify)
    partition, divisions = _divisions(record, models, partition)
    sources = tables_of(record, divisions, options, notes)
    if partition and partition not in sources and "subgroups" in models:
        raise _unsupported(record, models, notes)
    landmarks = options.landmarks or default_landmarks(record, sources[""].tables if "" in sources else None)
    studies = (studies or pooled_trials(record)) if synthesis.MODEL in models else ()
    tasks = tasks_of(record, models, partition, shrinkages, sources, landmarks, options, studies)
    of_strata = "subgroups" in models and partition is None and record.source != "patients"
    others = endpoints_of(record)[1] if binary.MODEL in models else ()
    for note in (*(outside_partitions(record) if of_strata else ()), *others):
        notes.add(note)
    if "" in sources and (note := intervals_note(record, sources[""].tables, options)):
        notes.tell(note)
    for warning in about_headline(record, audit(record)):
        notes.warn(warning)
    if note := baseline_note(record, tasks):
        notes.add(note)
    tasks = [_adjusted(task, record, options, notes) for task in tasks]
    if models == (synthesis.MODEL,) and not studies:
        raise input_error("trial", "", record.id, why_alone(record))
    if not tasks:
        raise _unsupported(record, models, notes)
    if not any(task.priors(chosen) for task in tasks):
        allowed = f"is about {record.endpoint}, not for {' or '.join(models)}"
        raise input_error("--prior", "", ", ".join(names), allowed)
    results = fit_tasks(tasks, chosen, options, notify)
    found = _collected(record, results, sources, landmarks, options, notes, studies)
    return _with_sensitivity(found, results, sources, options, notes) if vary else found


def _unsupported(record: Record, models: Sequence[str], notes: Sequence[str]) -> InputError:
    """Return why a record supports none of the models, and which one it does where that is plain."""
    why = [note.removeprefix(f"{record.place}: ") for note in notes]
    why = why or [f"prints nothing that {' or '.join(models)} could be fitted to"]
    overall = record.overall_hazard_ratio
    if "effects" not in models and overall is not None and overall.ci:
        why.append("its hazard ratios alone support --model effects")
    return input_error(record.place, "", None, "; ".join(why))


def _divisions(record: Record, models: Sequence[str], partition: str | None) -> tuple[str | None, list[str]]:
    """Return a partition as outputs call it, and those whose tables are needed, the whole trial (``""``) first."""
    if partition is not None and not {*models} & {"subgroups", "effects"}:
        raise input_error("--partition", "", partition, f"is for subgroups and effects, not for {', '.join(models)}")
    if "subgroups" in models and partition is not None:
        partition = check_partition(record, partition)
    whole = [""] if {*models} & {*PIECEWISE_MODELS, "subgroups"} else []
    jointly = [record.patient_partition] if record.patient_partition else []
    known = jointly if record.source == "patients" else list(record.all_partitions)
    strata = [partition] if partition else known
    return partition, [*whole, *strata] if "subgroups" in models else whole


def _adjusted(task: Task, record: Record, options: Options, notes: Notes) -> Task:
    """Let the proportional model of the whole trial report the effect adjusted for imbalance too."""
    if task.model != ADJUSTED_MODEL:
        return task
    terms, left_out = imbalance_terms(record)
    for note in left_out:
        notes.add(note)
    return adjusting(task, terms, options)


def _collected(
    record: Record,
    results: Sequence[Result],
    sources: Mapping[str, Imputations],
    landmarks: Sequence[float],
    options: Options,
    notes: Notes,
    studies: Sequence[Study],
) -> Reanalysis:
    constants = {"trial": record.id, "source": record.source}
    fits = tuple(result.fit for result in results)
    estimates = pd.DataFrame([row for result in results for row in result.estimates(options)])
    estimates["endpoint"] = estimates["endpoint"].replace("", record.endpoint)
    diagnostics = pd.concat([result.diagnostic_rows() for result in results])
    for result in results:
        _note_on(result, notes)
    worth = judged(record, results, sources, landmarks, options, notes.add)
    tables = {name: source.tables for name, source in sources.items()}
    made = {name: source.reconstruction for name, source in sources.items() if source.reconstruction is not None}
    patients = sources[""].patients if "" in sources else None
    compared = comparison_rows(record, estimates, tables, _withheld(record, made.get(""), options), patients)
    sheets = [one.fit_sheet for one in made.values()] or [pd.DataFrame(columns=list(FIT_SHEET_COLUMNS))]
    resolved = {
        "landmarks": list(landmarks),
        "imputations": {result.fit.name: len(result.rerun) for result in results},
        "intervals": {result.fit.model: list(result.fit.edges) for result in results if result.fit.edges},
        "priors": {result.fit.prior.name: str(result.fit.prior) for result in results},
        "stratified": {name: factor for name in tables if (factor := record.stratified_by(name))},
        "reweighted": sorted(result.fit.name for result in results if result.reweighted.all()),
        "reconstruction_acceptance": {name or "overall": one.acceptance_rate for name, one in made.items()},
        **external_facts(record, fits, options),
    }
    return Reanalysis(
        record,
        tables,
        fits,
        ESTIMATES.arranged(estimates, **constants),
        COMPARISON.arranged(compared, trial=record.id),
        DIAGNOSTICS.arranged(diagnostics, trial=record.id),
        findings_frame(record, audit(record)),
        pd.concat(sheets, ignore_index=True),
        run_facts(record, options, resolved, notes, notes.warnings),
        IMBALANCE.arranged(_imbalance(record, results, options), trial=record.id),
        *_credibility(record, tables, ESTIMATES.arranged(estimates, **constants), options),
        BINARY.arranged(_fisher(record, results), trial=record.id),
        CONFLICT.arranged(conflict_rows(record, fits), trial=record.id),
        EVIDENCE.arranged(evidence_rows(studies, options), trial=record.id),
        **worth,
    )


def _fisher(record: Record, results: Sequence[Result]) -> pd.DataFrame:
    fitted = any(result.fit.model == binary.MODEL for result in results)
    return binary_rows(endpoints_of(record)[0] if fitted else ())


def _imbalance(record: Record, results: Sequence[Result], options: Options) -> pd.DataFrame:
    adjusted = any(result.fit.model == ADJUSTED_MODEL for result in results)
    return imbalance_rows(imbalance_terms(record)[0] if adjusted else (), options)


def _credibility(
    record: Record, tables: Mapping[str, xr.Dataset], estimates: pd.DataFrame, options: Options
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what bears on each subgroup claim, and what trials without heterogeneity print."""
    strata = [table for partition, table in tables.items() if partition]
    if not strata and "effects" not in set(estimates["model"]):
        return CREDIBILITY.empty(), HOMOGENEITY.empty()
    simulated = trials_without_heterogeneity(record, strata, seed=options.seed)
    trials = homogeneity(record, simulated) if simulated else HOMOGENEITY.empty()
    return credibility(record, strata, estimates, simulated), trials


def _withheld(record: Record, rebuilt: Imputed | None, options: Options) -> NDArray[np.float64] | None:
    """Return what the other numbers predict for the overall hazard ratio: whether the paper is coherent."""
    if rebuilt is None or record.overall_hazard_ratio is None:
        return None
    if isinstance(rebuilt, RebuiltCurves):  # curves never see it
        return rebuilt.predicted("hazard_ratio")
    without = reconstruct(
        record,
        imputations=WITHHELD_IMPUTATIONS,
        seed=options.seed,
        horizon=options.horizon,
        without=("hazard_ratio",),
    )
    return without.predicted("hazard_ratio")


def _with_sensitivity(
    reanalysis: Reanalysis,
    results: Sequence[Result],
    sources: Mapping[str, Imputations],
    options: Options,
    notes: Notes,
) -> Reanalysis:
    """Return the reanalysis with what changes when assumptions do."""
    notes.progress("varying priors, intervals and what the reconstruction uses")
    found = sensitivity(reanalysis.record, results, sources, options)
    for note in found.notes:
        notes.add(note)
    run = {**reanalysis.run, "notes": list(notes)}
    return replace(reanalysis, sensitivity=found.rows, tipping=found.tipping, psense=found.psense, run=run)


def _note_on(result: Result, notes: Notes) -> None:
    if result.rerun.any():
        again = number_of(int(result.rerun.sum()), "imputation")
        notes.add(f"{result.fit.name}: sampled again, more strictly: {again}")
    if not result.passed:
        notes.add(f"{result.fit.name} fails the diagnostics gate: see diagnostics.csv")
