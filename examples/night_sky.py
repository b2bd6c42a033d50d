"""Finds the stars in a night's frames of a camera, each a large numpy array: one frame after the other, then in processes.

    python night_sky.py [FRAMES [SIDE [WORKERS]]]

The frames are made here, stars, glow of the sky and noise. Each goes through the same stages: the sky is blurred out of it and
taken away, what is left is smoothed as wide as a star is, and measured against its noise; and all frames are laid on top of
each other, where the faint stars show. Every stage hands whole arrays on, so what processes win can be lost on the way between
them.
"""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy

STARS = 400
# Frames that are worked on at a time: no computer would hold all of a night.
TOGETHER = 4
# A blur knows nothing of what lies beyond the edge, so no star is looked for there.
EDGE = 60


def expose(seed: int, side: int) -> numpy.ndarray:
    """A frame: the same stars each time, on a sky that is brighter at one end, with noise of its own."""
    frame = numpy.random.default_rng(seed).standard_normal((side, side))
    frame += numpy.linspace(50, 80 + seed, side)[:, None]
    stars = numpy.random.default_rng(12345)
    rows, columns = stars.integers(1, side - 1, (2, STARS))
    brightness = stars.uniform(2, 60, STARS)
    for row, column, light in zip(rows, columns, brightness, strict=True):
        frame[row - 1 : row + 2, column - 1 : column + 2] += light
    return frame


def blurred(frame: numpy.ndarray, width: float) -> numpy.ndarray:
    """The frame through a Gaussian of this width in pixels, by way of its frequencies."""
    side = len(frame)
    rows = numpy.exp(-2 * (numpy.pi * width * numpy.fft.fftfreq(side)) ** 2)
    columns = numpy.exp(-2 * (numpy.pi * width * numpy.fft.rfftfreq(side)) ** 2)
    spectrum = numpy.fft.rfft2(frame)
    spectrum *= rows[:, None]
    spectrum *= columns
    return numpy.fft.irfft2(spectrum, frame.shape)


def without_sky(frame: numpy.ndarray) -> numpy.ndarray:
    return frame - blurred(frame, 20)


def sharpened(frame: numpy.ndarray) -> numpy.ndarray:
    """What has the size of a star stands out of the noise."""
    return blurred(frame, 1.2)


def measured(frame: numpy.ndarray) -> tuple[int, float, float]:
    """How many pixels belong to stars, how bright these are together, and the noise: how far from the median most others are."""
    frame = frame[EDGE:-EDGE, EDGE:-EDGE]
    noise = float(numpy.median(numpy.abs(frame - numpy.median(frame))))
    bright = frame > 8 * noise
    return int(bright.sum()), float(frame[bright].sum()), noise


def night(frames: int, side: int, map) -> tuple[list[tuple[int, float, float]], numpy.ndarray]:
    """What was found in each frame, and all of them together: stage by stage, by whatever map there is."""
    found, stack = [], numpy.zeros((side, side))
    for first in range(0, frames, TOGETHER):
        seeds = range(first, min(first + TOGETHER, frames))
        raw = list(map(expose, seeds, [side] * len(seeds)))
        clean = list(map(without_sky, raw))
        sharp = list(map(sharpened, clean))
        found += map(measured, sharp)
        for frame in clean:
            stack += frame
    return found, stack / frames


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    frames, side, workers = given + [12, 2000, len(os.sched_getaffinity(0))][len(given) :]

    start = time.perf_counter()
    found, stack = night(frames, side, map)
    took = time.perf_counter() - start
    for number, (pixels, light, noise) in enumerate(found):
        print(f"frame {number}: {pixels} pixels of stars, light {light:.1f}, noise {noise:.4f}")
    pixels, light, noise = measured(sharpened(stack))
    print(f"all together: {pixels} pixels of stars, light {light:.1f}, noise {noise:.4f}")
    print(f"one after the other: {took:.2f} seconds")

    start = time.perf_counter()
    with ProcessPoolExecutor(max_workers=workers) as executor:
        again, stacked = night(frames, side, executor.map)
    took = time.perf_counter() - start
    same = again == found and numpy.array_equal(stacked, stack)
    print(f"{workers} processes: {took:.2f} seconds, {'the same stars' if same else 'OTHER STARS'}")


if __name__ == "__main__":
    main()
