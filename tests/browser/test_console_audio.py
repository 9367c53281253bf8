"""Measurements of the console's resampler and jitter buffer in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from service.simulator.audio.codec import RATE
from tests.support.browsers import signed_in
from tests.support.patchbays import Patchbay

CONTEXT_RATES = (48_000, 44_100, 16_000)

PLAYED = 16_000
"""The loudspeaker's rate in tests that do not depend on it."""

EDGE = 0.05
"""Seconds at both ends of a sound that are excluded, because it begins and ends abruptly."""

RESAMPLE = """
async ({ from, to, hertz, seconds, block }) => {
  const { Resampler } = await import("/console/static/audio/resampler.js");
  const resampler = new Resampler(from, to);
  const output = [];
  for (let first = 0; first < from * seconds; first += block) {
    const sine = (_, at) => 0.5 * Math.sin((2 * Math.PI * hertz * (first + at)) / from);
    output.push(...resampler.push(Float32Array.from({ length: block }, sine)));
  }
  return JSON.stringify(output);
}
"""

PLAY = """
async ({ arrivals, seconds, rate, loud }) => {
  const { Playout } = await import("/console/static/audio/playout.js");
  const { Resampler } = await import("/console/static/audio/resampler.js");
  const playout = new Playout();
  const resampler = new Resampler(8000, rate);
  const sine = (at) => (loud ? 0.25 * Math.sin((2 * Math.PI * 500.125 * at) / 8000) : 0);
  const delays = [];
  let [come, step, last] = [0, 0, 0];
  for (let played = 0; played < rate * seconds; ) {
    for (; come < arrivals.length && arrivals[come] <= played / rate; come += 1) {
      playout.push(Float32Array.from({ length: 160 }, (_, at) => sine(160 * come + at)));
    }
    const frame = playout.take();
    resampler.speed = playout.speed;
    const samples = resampler.push(frame);
    for (const sample of samples) {
      step = Math.max(step, Math.abs(sample - last));
      last = sample;
    }
    played += samples.length;
    delays.push(playout.delay);
  }
  const { underruns, dropped, inserted } = playout;
  return { delays, underruns, dropped, inserted, step };
}
"""


@pytest.fixture(scope="module")
def page(browser: Browser, patchbay: Patchbay) -> Iterator[Page]:
    with signed_in(browser, patchbay) as opened:
        opened.goto("/console/connectors")
        yield opened


def resampled(
    page: Page, rate: int, to: int, hertz: float, seconds: float = 1.0
) -> NDArray[np.float64]:
    wanted = {"from": rate, "to": to, "hertz": hertz, "seconds": seconds, "block": 128}
    # As text, because Playwright takes seconds to convert the numbers.
    return np.array(json.loads(page.evaluate(RESAMPLE, wanted)), np.float64)


def played(page: Page, arrivals: list[float], *, loud: bool = True) -> Any:
    """Play frames that arrive at these seconds, and return the actions of the buffer."""
    wanted = {"arrivals": arrivals, "seconds": arrivals[-1], "rate": PLAYED, "loud": loud}
    return page.evaluate(PLAY, wanted)


def decibels(samples: NDArray[np.float64]) -> float:
    """Return the level relative to a sine of the input's amplitude."""
    return 10 * float(np.log10(np.mean(samples**2) / 0.125))


@pytest.mark.parametrize("rate", CONTEXT_RATES)
def test_resampler_preserves_a_tone(page: Page, rate: int) -> None:
    for before, after in ((rate, RATE), (RATE, rate)):
        heard = resampled(page, before, after, 1000)
        time = np.arange(heard.size) / after
        wanted = 0.5 * np.sin(2 * np.pi * 1000 * time)
        edge = round(EDGE * after)
        assert np.abs(heard - wanted)[edge:-edge].max() < 1e-4


@pytest.mark.parametrize("rate", CONTEXT_RATES)
def test_resampler_removes_frequencies_above_the_telephone_band(page: Page, rate: int) -> None:
    edge = round(EDGE * RATE)
    for hertz in (300, 3400):
        assert abs(decibels(resampled(page, rate, RATE, hertz)[edge:-edge])) < 0.1
    for hertz in (4300, 5000, 7000):
        assert decibels(resampled(page, rate, RATE, hertz)[edge:-edge]) < -60


@pytest.mark.parametrize("rate", CONTEXT_RATES)
def test_resampler_keeps_the_length_of_ten_seconds(page: Page, rate: int) -> None:
    heard = resampled(page, rate, RATE, 1000, seconds=10)
    # The resampler holds back half of its window, 22 samples, regardless of the length.
    assert 10 * RATE - 22 <= heard.size <= 10 * RATE
    last = np.arange(heard.size - 800, heard.size - 400)
    wanted = 0.5 * np.sin(2 * np.pi * 1000 * last / RATE)
    assert np.abs(heard[last] - wanted).max() < 1e-4


def test_delay_of_even_arrivals_is_at_most_80_ms(page: Page) -> None:
    found = played(page, [0.02 * count for count in range(1500)])
    assert found["underruns"] == found["dropped"] == 0
    assert max(found["delays"]) <= 80
    # The delay shrinks after seconds without an underrun.
    assert max(found["delays"][-100:]) <= 60


@pytest.mark.parametrize("drift", [-0.001, 0.001])
def test_clock_drift_neither_grows_the_delay_nor_empties_the_buffer(
    page: Page, drift: float
) -> None:
    found = played(page, [0.02 * (1 + drift) * count for count in range(6000)])
    assert found["underruns"] == found["dropped"] == 0
    assert min(found["delays"][10:]) >= 20
    assert max(found["delays"]) <= 100


def test_delay_grows_with_uneven_arrivals_until_underruns_stop(page: Page) -> None:
    ragged = np.random.default_rng(1).uniform(0, 0.25, 3000)
    arrivals = np.maximum.accumulate(0.02 * np.arange(3000) + ragged)
    found = played(page, arrivals.tolist())
    assert 1 <= found["underruns"] <= 6
    assert max(found["delays"]) <= 360


def test_excess_audio_is_dropped_during_silence(page: Page) -> None:
    stalled = [0.02 * count if count < 100 else max(0.02 * count, 2.3) for count in range(400)]
    found = played(page, stalled, loud=False)
    assert found["underruns"] == 1
    assert found["dropped"] >= 5
    assert found["delays"][-1] <= 120


def test_gap_fades_out_without_a_click(page: Page) -> None:
    # The steepest step between two samples of this sine. No frame begins where another one ended.
    steepest = 0.25 * 2 * np.pi * 500 / PLAYED
    stalled = [0.02 * count if count < 100 else 0.02 * count + 1.0 for count in range(200)]
    found = played(page, stalled)
    assert found["underruns"] == 1
    assert found["step"] < 1.5 * steepest


def test_more_than_half_a_second_of_audio_is_dropped(page: Page) -> None:
    stalled = [0.02 * count if count < 100 else max(0.02 * count, 4.0) for count in range(300)]
    found = played(page, stalled)
    assert found["dropped"] > 50
    assert max(found["delays"]) <= 500
