"""Weights as whole numbers of 8 bits with a scale an output channel."""

import numpy as np
from numpy.typing import NDArray

# A processor without VNNI adds two products of a byte and a weight in 16 bits: within this sum of
# two weights of one sign, 255 times it fits. So every processor computes the same.
MOST_OF_A_PAIR = 128
MOST = 127
LEAST_SCALE = 1e-9
# Of the mean of the diagonal; keeps inputs that were never active from deciding anything.
DAMPING = 0.01
# Inputs whose errors are passed on one by one, before the rest of them at once.
BLOCK = 128

Integers = NDArray[np.int8]
Scales = NDArray[np.float32]


def quantise_weights(
    weights: NDArray[np.float32], inputs: NDArray[np.float32] | None = None
) -> tuple[Integers, Scales]:
    """Whole numbers and a scale a column, of weights of shape (inputs, outputs).

    The scale keeps neighbours along the inputs within MOST_OF_A_PAIR. With sample `inputs`, of
    shape (tokens, inputs), the error of each rounding is made good by the weights after it, so
    that the product changes least (optimal brain quantisation, as GPTQ orders it).
    """
    scales = _scales(weights)
    if inputs is None:
        return np.clip(np.round(weights / scales), -MOST, MOST).astype(np.int8), scales
    return _compensated(weights, scales, inputs), scales


def _scales(weights: NDArray[np.float32]) -> Scales:
    even = np.pad(weights, ((0, len(weights) % 2), (0, 0))).astype(np.float64)
    first, second = even[0::2], even[1::2]
    sums = np.where(first * second > 0, np.abs(first + second), 0).max(axis=0)
    scales = np.maximum(np.abs(even).max(axis=0) / MOST, sums / MOST_OF_A_PAIR)
    # A little above: where a pair's sum is exact, both of it would be rounded up.
    return np.nextafter(np.maximum(scales, LEAST_SCALE).astype(np.float32), np.float32(np.inf))


def _compensated(
    weights: NDArray[np.float32], scales: Scales, inputs: NDArray[np.float32]
) -> Integers:
    left = weights / scales.astype(np.float64)
    sample = inputs.astype(np.float64)
    products = sample.T @ sample
    products[np.diag_indices_from(products)] += DAMPING * np.diag(products).mean() + LEAST_SCALE
    inverse = np.linalg.cholesky(np.linalg.inv(products)).T
    integers = np.zeros(weights.shape, dtype=np.int8)
    for start in range(0, len(left), BLOCK):
        end = min(start + BLOCK, len(left))
        errors = np.empty((end - start, left.shape[1]))
        for i in range(start, end):
            rounded = np.clip(np.round(left[i]), -MOST, MOST)
            if i % 2:
                rounded = _within_pair(rounded, integers[i - 1])
            integers[i] = rounded
            error = (left[i] - rounded) / inverse[i, i]
            left[i:end] -= np.outer(inverse[i, i:end], error)
            errors[i - start] = error
        left[end:] -= inverse[start:end, end:].T @ errors
    return integers


def _within_pair(rounded: NDArray[np.float64], neighbour: Integers) -> NDArray[np.float64]:
    room = MOST_OF_A_PAIR - np.abs(neighbour.astype(np.float64))
    same_sign = rounded * neighbour > 0
    return np.where(same_sign, np.sign(rounded) * np.minimum(np.abs(rounded), room), rounded)
