"""Train an MLP on the digits with JAX; `lrbench.record` writes the run.

python train.py                   # by itself, into runs/
lrbench sweep train.yaml          # lrbench.param gives it the learning rate and the seed of each run
"""

import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrbench

lr, momentum = lrbench.param("lr", 0.1), 0.9
epochs, seed, batch_size = lrbench.param("epochs", 10), lrbench.param("seed", 0), 64
x, x_val, y, y_val = map(jnp.asarray, train_test_split(*load_digits(return_X_y=True), test_size=0.2, random_state=0))
x, x_val = x / 16, x_val / 16
total_steps = epochs * (len(x) // batch_size)


def layer(key, inputs, outputs):
    return jax.random.normal(key, (inputs, outputs)) * (2 / inputs) ** 0.5, jnp.zeros(outputs)


def measure(parameters, x, y):
    (w1, b1), (w2, b2) = parameters
    out = jax.nn.relu(x @ w1 + b1) @ w2 + b2
    loss = -jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], axis=1).mean()
    return loss, (out.argmax(1) == y).mean()


def rate(step):
    """The learning rate of a step: a cosine from `lr` to 0."""
    return lr * 0.5 * (1 + jnp.cos(jnp.pi * step / total_steps))


@jax.jit
def update(parameters, velocity, step, x, y):
    (loss, _), gradients = jax.value_and_grad(measure, has_aux=True)(parameters, x, y)
    velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, gradients)
    parameters = jax.tree.map(lambda p, v: p - rate(step) * v, parameters, velocity)
    return parameters, velocity, loss


first, second, order = jax.random.split(jax.random.key(seed), 3)
parameters = [layer(first, 64, 64), layer(second, 64, 10)]
velocity = jax.tree.map(jnp.zeros_like, parameters)

with lrbench.record(config={"lr": lr, "epochs": epochs}, seed=seed, total_steps=total_steps) as run:
    step = 0
    for epoch in range(1, epochs + 1):
        shuffled = jax.random.permutation(jax.random.fold_in(order, epoch), len(x))
        for start in range(0, len(x) - batch_size + 1, batch_size):
            batch = shuffled[start : start + batch_size]
            parameters, velocity, loss = update(parameters, velocity, step, x[batch], y[batch])
            run.step(lr=rate(step), loss=loss)
            step += 1
        loss, accuracy = measure(parameters, x_val, y_val)
        run.evaluate(val_loss=loss, val_accuracy=accuracy, epoch=epoch)
