import json

from benchmarks.figures import Figure, as_json, as_markdown, p50, p95

FIGURES = [
    Figure(name="speed", value=956.25, unit="MiB/s"),
    Figure(name="ratio", value=1.2, maximum=1.15),
    Figure(name="throughput", value=0.95, minimum=0.9),
]


def test_the_table_says_what_missed_its_aim() -> None:
    assert as_markdown(FIGURES).splitlines() == [
        "| what | aim | got |",
        "|---|---|---|",
        "| speed |  | 956.2 MiB/s |",
        "| ratio | at most 1.15 | 1.2 (missed) |",
        "| throughput | at least 0.9 | 0.95 |",
    ]


def test_json_says_whether_aims_are_met() -> None:
    found = json.loads(json.dumps(as_json(FIGURES)))
    assert [one["met"] for one in found] == [None, False, True]
    assert found[1] == {"what": "ratio", "got": 1.2, "unit": "", "most": 1.15, "least": None, "met": False}


def test_percentiles() -> None:
    assert p50([1, 2, 10]) == 2
    assert p95(list(range(101))) == 95
