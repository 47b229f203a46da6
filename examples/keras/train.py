"""Train an MLP on the digits with Keras, which one callback records.

python train.py --lr 0.01              # by itself, into runs/
lrbench sweep train.yaml
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lrbench.integrations.keras import LrbenchCallback

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

keras.utils.set_random_seed(options.seed)
x, x_val, y, y_val = train_test_split(*load_digits(return_X_y=True), test_size=0.2, random_state=0)
model = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
epochs, batch_size = options.epochs, 64
schedule = keras.optimizers.schedules.CosineDecay(options.lr, epochs * -(-len(x) // batch_size))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
recorder = LrbenchCallback(config={"batch_size": batch_size}, seed=options.seed)
model.fit(
    x / 16,
    y,
    batch_size,
    epochs,
    validation_data=(x_val / 16, y_val),
    callbacks=[recorder],
    verbose=2,
)
