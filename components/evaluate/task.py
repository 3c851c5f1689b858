"""Scores the holdout by challenger and champion, and says whether the challenger may take its place."""

from __future__ import annotations

import functools
import json
import math

from components import present, step
from components.adapters import live
from components.adapters.ports import ModelVersion
from components.core import artifacts, policy
from components.core.operations import Gate
from components.core.policy import Evidence, Verdict
from components.core.scorer import Scorer
from components.evaluate import champions, holdout, show, summary
from components.evaluate.findings import Findings, Rival, measured, picture
from components.evaluate.holdout import Rows, Scores
from components.evaluate.importance import importance, sample
from components.evaluate.slices import columns, slices

_READS = ("name", "model", "gate", "deploy")


def run(launch: step.Launch, *, model: str, holdout: str, evaluation: str, purpose: str = "train") -> step.Result:
    """Publishes the evaluation of `model` on `holdout`.

    Parameters
    ----------
    model
        The challenger: an artifact of kind "model", made with the launch's bundle.
    holdout
        An artifact of kind "enriched": the raw rows of the holdout, labelled.
    evaluation
        Where evaluation.json, index.html and summary.md go.
    purpose
        "fast": an accepted challenger has still to earn its traffic, whatever the case's `deploy` says.

    Returns
    -------
    step.Result
        Its parameter `verdict` is JSON: {"accepted", "unchanged", "reasons"}; a refusal is no error.
    """

    @functools.cache
    def champion(context: step.Context) -> ModelVersion | None:
        return champions.current(context.ports, context.case.name)

    def outside(context: step.Context) -> dict[str, object] | None:
        found = champion(context)
        return None if found is None else {"version": found.version, "identity": found.identity}

    return step.perform(
        "evaluate",
        launch,
        lambda context: work(context, champion(context), purpose),
        inputs={"model": model, "holdout": holdout},
        outputs={"evaluation": evaluation},
        parameters={"purpose": purpose},
        reads=_READS,
        outside=outside,
    )


def work(context: step.Context, champion: ModelVersion | None, purpose: str = "train") -> step.Result:
    """Publishes the evaluation against `champion`, or against the gate's floors alone."""
    from components.core import report

    found = _findings(context, champion, _gate(context, purpose))
    root = context.outputs["evaluation"]
    shown = show.report(found)
    page = report.page(f"{context.case.name}: evaluation", shown).encode()
    files = [
        artifacts.write_file(root, "evaluation.json", show.to_json(found)),
        artifacts.write_file(root, "index.html", page),
        artifacts.write_file(root, present.SUMMARY, summary.markdown(found, _word(found.verdict))),
    ]
    artifacts.publish(root, "evaluation", files=files, info={"accepted": found.verdict.accepted})
    verdict = {
        "accepted": found.verdict.accepted,
        "unchanged": found.verdict.unchanged,
        "reasons": found.verdict.reasons,
    }
    known = {name: e.value for name, e in found.metrics.items() if math.isfinite(e.value)}
    return step.Result(
        rows_in=found.rows,
        summary=f"{_word(found.verdict)}: {found.verdict.reasons[0]}",
        parameters={"verdict": json.dumps(verdict, ensure_ascii=False)},
        metrics=known,
        report={"blocks": shown},
    )


def _word(verdict: Verdict) -> str:
    return "unchanged" if verdict.unchanged else "accepted" if verdict.accepted else "refused"


def _gate(context: step.Context, purpose: str) -> Gate:
    gate = context.operations.gate
    if gate.canary_tolerance is None or not (purpose == "fast" or context.operations.deploy == "canary"):
        return gate
    return gate.model_copy(update={"tolerance": gate.canary_tolerance})


def _findings(context: step.Context, champion: ModelVersion | None, gate: Gate) -> Findings:
    main, seed = context.case.model.main_metric(), context.case.model.seed
    challenger, rows, scores, rival = _scored(context, champion)
    context.say(f"{gate.resamples} resamples of every metric")
    estimates, opponent = measured(scores, rows, rival, gate, seed)
    parts = slices(scores, rows, gate, main, seed)
    comparison = None if opponent is None else opponent.comparison(main)
    same_as = champion.version if champion is not None and rival is None else None
    verdict = policy.decide(Evidence(len(rows), main, estimates, parts, comparison, same_as), gate)
    return Findings(
        challenger.model,
        gate,
        main,
        verdict,
        len(rows),
        _window(rows),
        estimates,
        parts,
        opponent,
        picture(scores, rows),
        importance(challenger, rows, main, seed),
    )


def _scored(context: step.Context, champion: ModelVersion | None) -> tuple[Scorer, Rows, Scores, Rival | None]:
    """The challenger, the rows, its answers, and the champion's; None where there is none or it is the same model."""
    root = context.inputs["holdout"]
    manifest = artifacts.read_manifest(root, "enriched")
    scorers = [Scorer.open(context.inputs["model"], context.launch.bundle)]
    challenger, gate, model = scorers[0], context.operations.gate, context.case.model
    known = [name for name, _ in manifest.schema if not name.startswith("_")]
    policy.check(gate, challenger.model.task, model.main_metric(), known)
    holdout.check(manifest, challenger, "challenger")
    if champion is not None and champion.identity != challenger.model.identity:
        scorers.append(_champion(context, challenger, champion, manifest))
    context.say(f"scoring {manifest.rows:,} rows by {'the challenger' if len(scorers) == 1 else 'both models'}")
    places = sample(manifest.rows, len(challenger.model.features), model.seed)
    rows, scores = holdout.score(root, manifest, scorers, columns(gate, challenger.model), places)
    if champion is None or len(scorers) == 1:
        return challenger, rows, scores[0], None
    unseen, note = champions.unseen(scorers[1].model, champion.version, rows)
    return challenger, rows, scores[0], Rival(champion, scores[1], unseen, note)


def _champion(
    context: step.Context, challenger: Scorer, champion: ModelVersion, manifest: artifacts.Manifest
) -> Scorer:
    rival = live.load(context.ports.registry, context.case.name, champion.version).scorer
    champions.check(challenger.model, rival.model)
    holdout.check(manifest, rival, f"champion, version {champion.version}")
    return rival


def _window(rows: Rows) -> tuple[str, str]:
    first, last = rows.times.min(), rows.times.max()
    return f"{first.astype('datetime64[s]')}Z", f"{last.astype('datetime64[s]')}Z"
