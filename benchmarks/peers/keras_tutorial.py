"""The tutorial's network in Keras 3 on TensorFlow, as a script of that kind trains it: arrays, `fit`, Adam."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1")

import keras
import numpy as np
import tensorflow as tf
from measured import arguments, report


def mnist(data: str) -> tuple[np.ndarray, np.ndarray]:
    """The training pictures (60000, 28, 28, 1) in 0 … 1, and their labels."""
    found = []
    for name, head in (("train-images-idx3-ubyte", 16), ("train-labels-idx1-ubyte", 8)):
        plain, packed = (Path(data) / "MNIST" / "raw" / f"{name}{end}" for end in ("", ".gz"))
        raw = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        found.append(np.frombuffer(raw, np.uint8, offset=head))
    return found[0].reshape(-1, 28, 28, 1).astype("float32") / 255, found[1]


class Clock(keras.callbacks.Callback):
    """The seconds of each epoch's training, validation left out."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self.now = now
        self.epochs: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.began = self.now()

    def on_test_begin(self, logs: object = None) -> None:
        self.epochs.append(self.now() - self.began)


def main() -> None:
    chosen = arguments(__doc__)
    keras.utils.set_random_seed(chosen.seed)
    tf.config.threading.set_intra_op_parallelism_threads(chosen.threads)
    if chosen.threads == 1:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    inputs, targets = mnist(chosen.data)
    labels, train = keras.utils.to_categorical(targets, 10), slice(chosen.images)
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, activation="relu"), keras.layers.MaxPooling2D(), keras.layers.Dropout(0.25),
        keras.layers.Conv2D(64, 3, activation="relu"), keras.layers.MaxPooling2D(), keras.layers.Dropout(0.25),
        keras.layers.Flatten(),
        keras.layers.Dense(256, activation="relu"), keras.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    clock = Clock(chosen.now)
    history = model.fit(
        inputs[train], labels[train], batch_size=250, epochs=chosen.epochs,
        validation_data=(inputs[48_000:], labels[48_000:]), callbacks=[clock], verbose=0,
    )  # fmt: skip
    report(clock.epochs, history.history["val_accuracy"][-1])


if __name__ == "__main__":
    main()
