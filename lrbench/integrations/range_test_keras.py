"""A range test with a model of Keras 3, whatever its backend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.errors import UsageError
from lrbench.lr_finder import Finding, LoopRamp, LoopTest
from lrbench.training import keep_generators

if TYPE_CHECKING:
    from keras import Model

_OWN = ("epochs", "initial_epoch", "verbose", "validation_data", "validation_split")


def keras_range_test(
    model: Model,
    x: Any = None,
    y: Any = None,
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 300,
    passes: int = 1,
    shape: Any = "exponential",
    smoothing: float = 0.98,
    stop_factor: float = 4.0,
    name: str | None = None,
    runs: str | Path = "runs",
    **fit: Any,
) -> Finding:
    """Run a range test with a compiled model of Keras 3, before `model.fit(x, y, …)`.

        finding = lrbench.integrations.keras_range_test(model, x, y, batch_size=64)
        print(finding)

    It calls `model.fit`, and puts back weights, the optimizer and its learning rate or schedule, seed generators, and
    the random generators of Python, NumPy and torch. Those of TensorFlow and JAX outside of the model go on.

    Args:
        model: the model, compiled with an optimizer.
        x: as for `fit`.
        y: as for `fit`.
        start: the first learning rate.
        end: the last learning rate.
        steps: optimizer steps from the first learning rate to the last.
        passes: see `lrbench.RangeTest`; so are the arguments that follow.
        shape: see `passes`.
        smoothing: see `passes`.
        stop_factor: see `passes`.
        name: see `passes`.
        runs: see `passes`.
        fit: other arguments of `fit`: `batch_size`, `shuffle`, `sample_weight`, `class_weight`, `steps_per_epoch`.

    Raises:
        UsageError: a setting is invalid, or the model is not compiled, or compiled with `steps_per_execution`.
    """
    _check(model, fit)
    ramp = LoopRamp(start, end, steps, shape, smoothing, stop_factor)
    whole = model.built and model.optimizer.built
    generators, before = keep_generators(), (model.stop_training, getattr(model, "history", None))
    model.fit(x, y, epochs=0, verbose=0, **fit)  # builds what is not built yet, as the first `fit` would
    test = KerasTest(model, ramp, passes, name or type(model).__name__, runs)
    test.generators = generators if whole else keep_generators()
    try:
        callbacks = [*fit.pop("callbacks", []), _observer(test)]
        model.fit(x, y, epochs=2**31, verbose=0, callbacks=callbacks, **fit)
        return test.finish()
    finally:
        test.restore()
        model.stop_training, model.history = before


def _check(model: Any, fit: Mapping[str, Any]) -> None:
    """Raise UsageError if a model or its arguments can't be tested."""
    for given in _OWN:
        if given in fit:
            raise UsageError(f"keras_range_test sets {given} itself; leave it out")
    if not model.compiled:
        raise UsageError("the model has no optimizer yet; call model.compile(…) first")
    if (model.steps_per_execution or 1) != 1:
        raise UsageError("a range test looks at every step; compile the model with steps_per_execution=1")


class KerasTest(LoopTest):
    """A range test of a Keras model; sets its optimizer's learning rate and puts its variables back."""

    generators: Any = None

    def __init__(self, model: Model, ramp: LoopRamp, passes: int, name: str, runs: str | Path) -> None:
        import keras

        self.model, self.optimizer = model, model.optimizer
        settings = {k: v for k, v in self.optimizer.get_config().items() if isinstance(v, bool | int | float | str)}
        settings = {k: v for k, v in settings.items() if k not in ("name", "learning_rate")}
        known = {"optimizer": {"name": type(self.optimizer).__name__.lower(), **settings}}
        momentum = getattr(self.optimizer, "beta_1", None) or getattr(self.optimizer, "momentum", None) or 0.0
        params = {**known, "parameters": int(model.count_params())}
        super().__init__(ramp, passes, name, params, float(momentum), runs)
        variables = {id(v): v for v in (*model.variables, *model.metrics_variables, *self.optimizer.variables)}
        self._kept = [(v, keras.ops.convert_to_numpy(v).copy()) for v in variables.values()]
        self._scheduled = _schedule_of(self.optimizer)
        if self._scheduled is not None:
            self._compile(_ramp_schedule(self.optimizer, ramp))
        self.set_rate(ramp.start)

    def set_rate(self, lr: float) -> None:
        """See `LoopTest`. A schedule, which can't be set, is replaced by the ramp itself."""
        if self._scheduled is None:
            self.optimizer.learning_rate = lr

    def rewind(self) -> None:
        """See `LoopTest`."""
        for variable, value in self._kept:
            variable.assign(value)

    def put_back(self) -> None:
        """See `LoopTest`."""
        self.rewind()
        if self._scheduled is not None:
            self._compile(self._scheduled)
        if self.generators is not None:
            self.generators()

    def _compile(self, schedule: Any) -> None:
        """Set a schedule, which the compiled training step contains."""
        self.optimizer.learning_rate = schedule
        self.model.make_train_function(force=True)


def _schedule_of(optimizer: Any) -> Any:
    """Return the optimizer's schedule, which can't be set to a number; None if it has none."""
    from keras.optimizers.schedules import LearningRateSchedule

    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
    found = getattr(inner, "_learning_rate", None)
    return found if isinstance(found, LearningRateSchedule) else None


def _ramp_schedule(optimizer: Any, ramp: LoopRamp) -> Any:
    """Return the ramp as a schedule of the optimizer's steps, from its current one on."""
    import keras

    first, last = int(optimizer.iterations), ramp.iterations - 1

    class RampSchedule(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            part = keras.ops.cast(step - first, "float32") / last
            if ramp.shape == "linear":
                return ramp.start + (ramp.end - ramp.start) * part
            return ramp.start * (ramp.end / ramp.start) ** part

        def get_config(self) -> dict[str, Any]:
            return {}

    return RampSchedule()


def _observer(test: KerasTest) -> Any:
    """Return a callback that hands the losses to the test, and ends training with it."""
    import keras

    class Observer(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.losses: list[float] = []
            self.accumulated = getattr(test.optimizer, "gradient_accumulation_steps", None) or 1

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.model.reset_metrics()  # the loss in `logs` is the mean since then

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            model = self.model  # which brings variables up to date where the backend has copies
            self.losses.append(float(logs["loss"]))
            if len(self.losses) == self.accumulated:
                mean = sum(self.losses) / len(self.losses)
                self.losses.clear()
                model.stop_training = not test.step(mean)

    return Observer()
