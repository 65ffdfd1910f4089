"""Series of a PACS in sessions of AIAA's clients, which name them by their place."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("dicomweb_client")

from gateway.server import Gateway
from sixpoint.volume import Volume
from tests.gateway.http.aiaa.clients import AiaaSite, Answer
from tests.gateway.http.dicomweb.conftest import Hospital


def test_a_session_is_opened_on_a_series_of_the_pacs(ward: Gateway, hospital: Hospital) -> None:
    site = AiaaSite.of(ward)

    def put(place: object) -> Answer:
        headers = {"content-type": "application/json"}
        return site.call("PUT", "/session/?expiry=0", body=json.dumps({"dicom": place}).encode(), headers=headers)

    place = {"server_address": "127.0.0.1", "server_port": 4242, "ae_title": "ORTHANC", "query_level": "SERIES"}
    answer = put({**place, "study_uid": hospital.place.study, "series_uid": hospital.place.series})
    assert answer.status == 200, answer.body
    session = str(answer.json()["session_id"])
    assert session.partition("-")[0] == Volume.read(hospital.files).digest
    assert site.call("GET", f"/session/{session}").status == 200
    wrongs: tuple[object, ...] = (None, [], {}, {"series_uid": 5}, {"series_uid": "../x"})
    for wrong in wrongs:
        answer = put(wrong)
        assert (answer.status, "dicom.series_uid" in answer.message) == (400, True)
    assert put({"series_uid": "1.2.3"}).status == 404
