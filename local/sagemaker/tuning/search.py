"""The search for values, by optuna's ask and tell."""

from __future__ import annotations

from itertools import product

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from local.sagemaker.tuning.ranges import choices
from local.sagemaker.tuning.request import Plan

_REDUCTION = 3
_FEWEST_RANDOM = 3
_MOST_RANDOM = 10

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Search:
    """Proposes a set of values for each job and learns from how the jobs did."""

    def __init__(self, plan: Plan) -> None:
        self._ranges = plan.ranges
        self._study = optuna.create_study(
            study_name=plan.name,
            direction="maximize" if plan.maximize else "minimize",
            sampler=_sampler(plan),
            pruner=_pruner(plan),
        )
        if plan.strategy == "Grid":
            values = choices(plan.ranges)
            for combination in product(*values.values()):
                self._study.enqueue_trial(dict(zip(values, combination, strict=True)))

    def ask(self) -> Proposal:
        trial = self._study.ask({item.name: item.distribution for item in self._ranges})
        values = {item.name: item.text(trial.params[item.name]) for item in self._ranges}
        return Proposal(self._study, trial, values)


class Proposal:
    """One set of values, and what came of it."""

    def __init__(self, study: optuna.Study, trial: optuna.Trial, values: dict[str, str]) -> None:
        self._study = study
        self._trial = trial
        self._reported = 0
        self.values = values

    def report(self, value: float) -> bool:
        """Takes the next value of the objective; whether the strategy gives the job up."""
        self._reported += 1
        self._trial.report(value, self._reported)
        return self._trial.should_prune()

    def completed(self, value: float) -> None:
        self._study.tell(self._trial, value)

    def stopped(self) -> None:
        """Ended before its time; what it reported until then is learned from."""
        self._study.tell(self._trial, state=TrialState.PRUNED)

    def failed(self) -> None:
        self._study.tell(self._trial, state=TrialState.FAIL)


def _sampler(plan: Plan) -> BaseSampler:
    if plan.strategy != "Bayesian":
        return RandomSampler(seed=plan.seed)
    # The first jobs are random. Those still running count as bad ones, so that a batch spreads.
    return TPESampler(
        seed=plan.seed,
        n_startup_trials=min(max(plan.jobs // 3, _FEWEST_RANDOM), _MOST_RANDOM),
        constant_liar=True,
    )


def _pruner(plan: Plan) -> BasePruner:
    if plan.resources is None:
        return NopPruner()
    return HyperbandPruner(
        min_resource=plan.resources.least,
        max_resource=plan.resources.most,
        reduction_factor=_REDUCTION,
    )
