"""The report of a call, for people and for programs."""

import json

import pytest

from service.simulator.report import MAX_PROBLEMS, CallCounters, CallReport, Ending

GOOD = {
    "provider": "twilio",
    "ended": Ending.CALLER_HUNG_UP,
    "failure": None,
    "answered_ms": 3.2,
    "connected_ms": 6.1,
    "first_audio_ms": 27.5,
    "seconds": 4.5,
    "frames_sent": 225,
    "frames_heard": 221,
    "frames_missing": 0,
    "frames_discarded": 0,
    "gaps": 0,
    "longest_gap_ms": 21.0,
    "rtt_min_ms": 0.4,
    "rtt_median_ms": 0.6,
    "level_dbfs": -13.72,
    "digits_sent": "",
    "digits_heard": "",
    "marks_returned": 0,
    "clears": 0,
    "redirects": 0,
    "questions": 0,
    "said": (),
    "problems": (),
}


def report(**changes):
    return CallReport(**(GOOD | changes))


def test_text_of_a_good_call():
    assert report().text().splitlines() == [
        "answered      3.2 ms",
        "connected     6.1 ms",
        "first audio   27.5 ms",
        "round trip    0.4 ms min, 0.6 ms median",
        "streamed      4.5 s",
        "frames        225 sent, 221 heard",
        "missing       0 frames",
        "gaps          0 over 40 ms, longest 21.0 ms",
        "level heard   -13.7 dBFS",
        "ended         caller-hung-up",
    ]


def test_text_contains_optional_rows():
    lines = report(
        digits_sent="1#", questions=2, said=("One.", "Two."), level_dbfs=None, ended=None
    ).text()
    assert "keys pressed  1#" in lines
    assert "asked for     keys, 2 times" in lines
    assert "said          One. Two." in lines
    assert "level heard   silence" in lines
    assert "ended         not yet" in lines


def test_json_contains_every_field_and_ok():
    parsed = json.loads(report().json())
    assert parsed == GOOD | {"ok": True, "said": [], "problems": []}
    assert json.loads(report(frames_heard=0).json())["ok"] is False


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({}, None),
        ({"failure": "It broke."}, "It broke."),
        ({"problems": ("First.", "Second.")}, "First."),
        ({"ended": Ending.BUSY, "connected_ms": None}, "The call was turned away (busy)."),
        ({"ended": Ending.REJECTED}, "The call was turned away (rejected)."),
        ({"connected_ms": None}, "The call ended before a media socket was opened."),
        ({"frames_heard": 0}, "The call was connected, but no audio came back."),
    ],
)
def test_trouble_is_one_sentence(changes, trouble):
    assert report(**changes).trouble == trouble


def test_number_of_problems_is_limited():
    counters = CallCounters()
    kept = [counters.add_problem(f"Problem {number}.") for number in range(MAX_PROBLEMS + 5)]
    assert kept.count(True) == len(counters.problems) == MAX_PROBLEMS
