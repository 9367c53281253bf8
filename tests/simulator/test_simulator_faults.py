"""Network faults, with a thousand messages each."""

import itertools

import pytest

from service.simulator.audio.network_faults import NetworkFaults

MANY = range(1000)


def delivered(**options):
    faults = NetworkFaults(seed=1, **options)
    return [message for each in MANY for message in faults.deliver(each)]


def test_network_without_faults_changes_nothing():
    assert delivered() == list(MANY)
    assert NetworkFaults(seed=1).delay(0.02) == 0


def test_drop_loses_its_share_in_order():
    arrived = delivered(drop=0.25)
    assert 700 < len(arrived) < 800
    assert arrived == sorted(arrived)


def test_full_drop_loses_everything():
    assert delivered(drop=1.0) == []


def test_shuffle_swaps_neighbours_without_loss():
    arrived = delivered(shuffle=True)
    assert arrived != list(MANY)
    # The last one may be held back when the call ends.
    assert sorted(arrived) in (list(MANY), list(MANY)[:-1])
    assert max(abs(at - message) for at, message in enumerate(arrived)) == 1


def test_shuffle_with_drop_loses_only_dropped_messages():
    arrived = delivered(shuffle=True, drop=0.25)
    assert len(set(arrived)) == len(arrived)
    assert 700 < len(arrived) < 800


def test_jitter_spreads_over_its_whole_range():
    faults = NetworkFaults(jitter=0.04, seed=1)
    delays = [faults.delay(1.0) for _ in MANY]
    assert 0 <= min(delays) < 0.002
    assert 0.038 < max(delays) <= 0.04


def test_jitter_keeps_messages_in_order():
    faults = NetworkFaults(jitter=0.5, seed=1)
    arrivals = [each * 0.02 + faults.delay(0.02) for each in MANY]
    steps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert min(steps) > -1e-9
    assert max(steps) > 0.02


@pytest.mark.parametrize("option", [{"drop": 0.5}, {"shuffle": True}])
def test_seed_makes_faults_repeatable(option):
    assert delivered(**option) == delivered(**option)
