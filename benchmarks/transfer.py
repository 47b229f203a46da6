"""How often the intervals of `lrbench transfer` are right, on simulated optima with a known law.

    python benchmarks/transfer.py [--draws 400]

For each number of sizes, scatter around the law and error of the optima: the share of draws in which the 95% interval
of the exponent has the true one, that in which the interval of a prediction a factor of 4 beyond the largest size has
the new optimum, the median width of the exponent's interval, and how often a bend is told that is not there.
"""

from __future__ import annotations

import argparse

import numpy as np

from lrbench.transfers.fit import design, fit

SIZES = {3: 1.2, 4: 1.8, 6: 2.4}
"""Decades between the smallest and the largest size, by the number of sizes."""
SCATTER = (0.0, 0.05, 0.1, 0.2, 0.4)
ERRORS = (0.04, 0.12)
EXPONENT = 0.5


def measured(count: int, tau: float, error: float, draws: int) -> tuple[float, float, float, float]:
    """Return the shares for the exponent and the prediction, the median width, and the share of false bends."""
    random = np.random.default_rng(7)
    x = np.linspace(0, SIZES[count], count) - SIZES[count] / 2
    new = np.array([1.0, SIZES[count] / 2 + np.log10(4)])
    exponents, predictions, widths, bends = 0, 0, [], 0
    for _ in range(draws):
        errors = error * random.uniform(0.6, 1.6, count)
        y = -2 + EXPONENT * x + random.normal(0, tau, count) + random.normal(size=count) * errors
        line = fit(design(x[:, None]), y, errors)
        low, high = line.interval(np.array([0.0, 1.0]))
        exponents += low < EXPONENT < high
        widths.append(high - low)
        low, high = line.interval(new, 0.0)
        predictions += low < -2 + EXPONENT * new[1] + random.normal(0, tau) < high
        low, high = fit(np.column_stack([design(x[:, None]), x**2]), y, errors).interval(np.array([0.0, 0.0, 1.0]))
        bends += not low <= 0 <= high
    return exponents / draws, predictions / draws, float(np.median(widths)), bends / draws


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    draws = parser.parse_args().draws
    print("| sizes | scatter | error | exponent right | prediction right | width | false bends |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for count in SIZES:
        for tau in SCATTER:
            for error in ERRORS:
                right, ahead, width, bends = measured(count, tau, error, draws)
                shares = f"{right:.0%} | {ahead:.0%} | {width:.2f} | {bends:.0%}"
                print(f"| {count} | {tau:g} | {error:g} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
