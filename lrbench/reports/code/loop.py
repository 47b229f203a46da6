"""The training loop of a run as PyTorch code, with every setting that changes training."""

from __future__ import annotations

from collections.abc import Mapping

from lrbench.components import LOSS, Metric
from lrbench.config import Experiment
from lrbench.reports.code.loss import Import, loss_code
from lrbench.reports.code.schedules import Run, ScheduleCode
from lrbench.reports.code.text import Raw, call, comment, layout, literal
from lrbench.runs import Sizes
from lrbench.schedules import PlateauRule


def loop(
    run: Run, schedule: ScheduleCode, averages: bool, sizes: Sizes, imported: Import, metrics: Mapping[str, Metric]
) -> list[str]:
    """Write the shortest loop that trains as the run did, and what it needs before.

    Args:
        run: the run.
        schedule: the code of its schedule.
        averages: whether the optimizer averages the weights for evaluation.
        sizes: the sizes that the run recorded.
        imported: adds an import and returns the name in the code.
        metrics: what the run measured, by name.
    """
    experiment = run.experiment
    before, plateau = _plateau(run, schedule, metrics)
    loss = loss_code(experiment, sizes, imported)
    body = loss.body
    scaled = experiment.precision == "fp16"
    if scaled or experiment.precision == "bf16":
        dtype = "torch.float16" if scaled else "torch.bfloat16"
        body = [f"with torch.autocast({loss.device}.type, dtype={dtype}):", *_at(4, *body)]
    setting = [*loss.before, *(["scaler = torch.amp.GradScaler()"] if scaled else [])]
    lines = [*before, *setting, f"for epoch in range({_epochs(run)}):", "    model.train()"]
    lines += [*(["    optimizer.train()"] if averages else []), *_batches(run, loss.batch)]
    if experiment.accumulate is None:
        lines += _at(
            8, "optimizer.zero_grad()", *body, "scaler.scale(loss).backward()" if scaled else "loss.backward()"
        )
    else:
        lines += _at(8, f"examples = sum({loss.size} for {loss.batch} in group)", "optimizer.zero_grad()")
        lines += _at(8, f"for {loss.batch} in group:")
        share = f"loss * ({loss.size} / examples)"
        backward = f"scaler.scale({share}).backward()" if scaled else f"({share}).backward()"
        lines += _at(12, *body, f"{backward}  # mean over all examples")
    if scaled and experiment.clip_grad_norm is not None:
        lines += _at(8, "scaler.unscale_(optimizer)")
    if experiment.clip_grad_norm is not None:
        limit = literal(experiment.clip_grad_norm)
        lines += _at(8, f"torch.nn.utils.clip_grad_norm_(model.parameters(), {limit})")
    if experiment.on_non_finite == "skip":
        text = "lrbench skipped optimizer.step(), but not scheduler.step(), if the loss or gradient was not finite"
        lines += comment(f"{text} (at most {experiment.max_skipped or 10} times)", 8)
    lines += _at(8, *_step(schedule.scheduler is not None, scaled))
    return [*lines, *_after_epoch(experiment, averages, plateau)]


def _step(scheduled: bool, scaled: bool) -> list[str]:
    """Write the optimizer's step and the scheduler's; a step that the gradient scaler skips does not advance it."""
    if not scaled:
        return ["optimizer.step()", *(["scheduler.step()  # after every step, not every epoch"] if scheduled else [])]
    if not scheduled:
        return ["scaler.step(optimizer)", "scaler.update()"]
    after = ["if scaler.get_scale() >= scale:  # the step was not skipped", *_at(4, "scheduler.step()")]
    return ["scale = scaler.get_scale()", "scaler.step(optimizer)", "scaler.update()", *after]


def _at(indent: int, *lines: str) -> list[str]:
    return [" " * indent + line for line in lines]


def _epochs(run: Run) -> int | str:
    if run.experiment.epochs is None and run.total_steps is not None and run.steps_per_epoch is not None:
        return -(-run.total_steps // run.steps_per_epoch)
    return run.experiment.epochs or "-(-total_steps // steps_per_epoch)"


def _batches(run: Run, batch: str) -> list[str]:
    """Loop over the batches of an epoch, or groups of them. A run may end within an epoch."""
    several, source = run.experiment.accumulate, "train_loader"
    steps, per_epoch = run.experiment.steps, run.steps_per_epoch
    short = steps is not None and (per_epoch is None or steps % per_epoch != 0)
    if short:
        left = "total_steps - epoch * steps_per_epoch"
        source = f"itertools.islice(train_loader, {left if several is None else f'{several} * ({left})'})"
    if several is None:
        return _at(4, f"for {batch} in {source}:")
    taken = f"while group := list(itertools.islice(batches, {several})):  # {several} batches per step"
    return _at(4, f"batches = {source if short else 'iter(train_loader)'}", taken)


def _after_epoch(experiment: Experiment, averages: bool, plateau: list[str]) -> list[str]:
    early = experiment.early_stopping
    lines = []
    if averages:
        words = "swaps in the averaged weights; evaluate and save these"
        lines += _at(4, "model.eval()", f"optimizer.eval()  # {words}")
        lines += comment("with batch norm, first run some training batches through model.train() without gradients", 4)
    lines += plateau
    if early is not None:
        words = f"early stopping: lrbench stopped once {early.metric} had not improved"
        least = f" by more than {early.min_delta:g}" if early.min_delta else ""
        start = f", not counting the first {early.start}" if early.start else ""
        every = "" if experiment.eval_every is None else f"; it evaluated every {experiment.eval_every}"
        lines += comment(f"{words}{least} for {_counted(early.patience, experiment)}{start}{every}", 4)
    return lines


def _plateau(run: Run, schedule: ScheduleCode, metrics: Mapping[str, Metric]) -> tuple[list[str], list[str]]:
    """Write the plateau rule: its scheduler before the loop, its lines after each epoch."""
    rule = run.experiment.plateau
    if rule is None:
        return [], []
    name = rule.metric.removeprefix("val_")
    metric = metrics.get(name, Metric(name))
    what = "loss" if metric == LOSS else name
    averaged = f"mean {what}" if metric == LOSS else name
    evaluated = f"{rule.metric} = evaluate(model)  # your function: {averaged} on the validation data"
    if schedule.plateau:
        return [], _at(4, evaluated, f"scheduler.step_plateau({rule.metric})")
    unlike_torch = schedule.scheduler is not None or rule.growth is not None or run.experiment.eval_every is not None
    if unlike_torch or (rule.min_lr and (run.grouped or run.lr is None or rule.min_lr > run.lr)):
        return [], comment(_in_words(rule, run.experiment), 4)
    arguments = {
        **({} if metric.lower else {"mode": "max"}),
        "factor": rule.factor,
        "patience": rule.patience,
        "threshold": rule.threshold,
        **({"threshold_mode": "abs"} if rule.threshold_mode == "abs" else {}),
        **({"cooldown": rule.cooldown} if rule.cooldown else {}),
        **({"min_lr": rule.min_lr} if rule.min_lr else {}),
        "eps": 0,
    }
    before = comment("eps=0: by default, torch skips changes of the learning rate below 1e-8")
    positive = metric.form == "percent" or (metric == LOSS and not run.experiment.loss.imported)
    if not positive and rule.threshold_mode != "abs":
        before += comment(f"torch's threshold equals lrbench's as long as the {what} is above 0")
    called = call("torch.optim.lr_scheduler.ReduceLROnPlateau", Raw("optimizer"), **arguments)
    step = [f"plateau.step({rule.metric})"]
    if rule.start:
        step = [f"if epoch >= {rule.start}:", *_at(4, *step)]
    return [*before, *layout("plateau = ", called), ""], _at(4, evaluated, *step)


def _counted(count: int, experiment: Experiment) -> str:
    """`3 epochs`; `3 evaluations` where these are not the ends of epochs."""
    unit = "epoch" if experiment.eval_every is None else "evaluation"
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _in_words(rule: PlateauRule, experiment: Experiment) -> str:
    """Describe a rule that torch has no scheduler for."""
    every = experiment.eval_every
    looked = "After each epoch" if every is None else f"After each evaluation, every {every}"
    margin = f"by more than {rule.threshold:g}{'' if rule.threshold_mode == 'abs' else ' of it'}"
    epochs = _counted(rule.patience, experiment)
    unchanged = f"{rule.metric} had not improved on its best {margin} for more than {epochs}"
    multiplied = f"lrbench multiplied the learning rate by {rule.factor:g} if {unchanged}"
    parts = [f"not in this code: the plateau rule. {looked}, {multiplied}"]
    if rule.cooldown:
        parts.append(f"the {_counted(rule.cooldown, experiment)} after a change did not count")
    if rule.start:
        parts.append(f"it started after {_counted(rule.start, experiment)}")
    if rule.min_lr:
        parts.append(f"its minimum learning rate was {rule.min_lr:g}")
    growth = rule.growth
    if growth is not None:
        most = "" if growth.max_lr is None else f", up to {growth.max_lr:g}"
        when = (
            f"after {_counted(growth.patience, experiment)} of improvement in a row"
            if growth.on == "improvement"
            else f"instead on a plateau in the first {growth.until:.0%} of the run"
        )
        parts.append(f"it multiplied the learning rate by {growth.factor:g} {when}{most}")
    return "; ".join(parts) + "."
