"""What a DICOM file of masks says: the image, the patient, the objects, and who outlined them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes

from sixpoint import __version__
from sixpoint.errors import InvalidArgument, VolumeError
from sixpoint.io.dicom.output.codes import PRIVATE_SCHEME, code_of
from sixpoint.io.label_names import label_colour
from sixpoint.masks.objects import LabelledObject
from tests.sixpoint.io.dicom.dicom_files import Edit, removing, setting, write_enhanced, write_series
from tests.sixpoint.io.dicom.output.saving import KIDNEY, LIVER, OVERLAPPING, read_back, save

KINDS = ("seg", "labelmap", "rtstruct")
OBJECTS = (
    LabelledObject(2, "Liver", LIVER, model="annotation", model_version="5"),
    LabelledObject(7, "kidney_left", KIDNEY, model="organs", model_version="2", automatic=True),
)
SECRETS = {
    "PatientName": "Secretname^Änne",
    "PatientID": "SECRETID77",
    "PatientBirthDate": "19510203",
    "PatientSex": "F",
    "StudyDate": "20190807",
    "StudyTime": "101112.5",
    "AccessionNumber": "SECRETACC",
    "StudyID": "SECRETSTUDY",
    "ReferringPhysicianName": "Secretdoctor",
    "StudyDescription": "SECRETDESCRIPTION",
}


def secretive(dataset: Dataset, z: int) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    for keyword, value in SECRETS.items():
        setattr(dataset, keyword, value)
    dataset.InstitutionName, dataset.PatientComments = "SECRETHOSPITAL", "SECRETCOMMENT"
    dataset.add_new(0x00990010, "LO", "SECRETPRIVATE")


@pytest.mark.parametrize("kind", KINDS)
def test_patient_and_study_are_those_of_the_image_and_nothing_else_is_copied(tmp_path: Path, kind: str) -> None:
    series = write_series(tmp_path / "series", edit=secretive)
    made = save(tmp_path / "mask.dcm", series, OBJECTS, kind=kind)
    for keyword, value in SECRETS.items():
        assert str(made[keyword].value) == value
    source = pydicom.dcmread(next(series.iterdir()))
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert made[keyword].value == source[keyword].value
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    content = (tmp_path / "mask.dcm").read_bytes()
    assert not any(secret in content for secret in (b"SECRETHOSPITAL", b"SECRETCOMMENT", b"SECRETPRIVATE"))


@pytest.mark.parametrize("name", ["Yamada^Tarou=山田^太郎", "Лук^Иван", "O'Neil^Zoë^^Dr", ""])
def test_a_name_in_any_script_is_kept(tmp_path: Path, name: str) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = name

    series = write_series(tmp_path / "series", edit=edit)
    for kind in KINDS:
        assert str(save(tmp_path / "mask.dcm", series, OBJECTS, kind=kind).PatientName) == name


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_of_patient_and_study_may_lack_or_be_odd(tmp_path: Path, kind: str) -> None:
    def edit(dataset: Dataset, z: int) -> None:
        removing("PatientName", "PatientID", "StudyID", "AccessionNumber", "StudyTime")(dataset, z)
        # Not set by pydicom's own checks: files have such values.
        dataset.PatientSex = "W"
        dataset.add_new("PatientBirthDate", "LO", "unknown")

    series = write_series(tmp_path / "series", edit=edit)
    made = save(tmp_path / "mask.dcm", series, OBJECTS, kind=kind)
    assert not any(made[keyword].value for keyword in ("PatientName", "PatientID", "PatientSex", "PatientBirthDate"))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_patient_is_logged(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    series = write_series(tmp_path / "series", edit=secretive)
    uids = {str(pydicom.dcmread(file).SOPInstanceUID) for file in series.iterdir()}
    with caplog.at_level(logging.DEBUG):
        made = save(tmp_path / "mask.dcm", series, OBJECTS, kind=kind)
        read_back(tmp_path / "mask.dcm", series, "Liver")
        logging.getLogger("test").info("seen")
    assert "seen" in caplog.text
    for secret in ("secret", "19510203", "20190807", *uids, made.StudyInstanceUID):
        assert secret.lower() not in caplog.text.lower()


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_segments_are_coded_and_say_what_outlined_them(tmp_path: Path, kind: str) -> None:
    made = save(tmp_path / "mask.dcm", write_series(tmp_path / "series"), OBJECTS, kind=kind, creator="Doe^John")
    liver, kidney = (segment for segment in made.SegmentSequence if segment.SegmentNumber)
    assert [liver.SegmentNumber, kidney.SegmentNumber] == ([1, 2] if kind == "seg" else [2, 7])
    assert (liver.SegmentLabel, kidney.SegmentLabel) == ("Liver", "kidney_left")
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == codes.SCT.Liver.value
    kind_code = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert kind_code.CodeValue == codes.SCT.Kidney.value
    assert kind_code.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == codes.SCT.Left.value
    assert (liver.SegmentAlgorithmType, kidney.SegmentAlgorithmType) == ("SEMIAUTOMATIC", "AUTOMATIC")
    algorithm = liver.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("annotation", "5")
    assert (made.Manufacturer, made.SoftwareVersions, made.ContentCreatorName) == ("sixpoint", __version__, "Doe^John")


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_model_answered_is_manual(tmp_path: Path, kind: str) -> None:
    made = save(tmp_path / "m.dcm", write_series(tmp_path / "s"), [LabelledObject(1, "", LIVER, model="m")], kind=kind)
    if kind == "rtstruct":
        assert made.StructureSetROISequence[0].ROIGenerationAlgorithm == "MANUAL"
    else:
        assert made.SegmentSequence[-1].SegmentAlgorithmType == "MANUAL"
        assert "SegmentAlgorithmName" not in made.SegmentSequence[-1]


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_a_segmentation_refers_to_every_slice_and_leaves_out_empty_frames(tmp_path: Path, kind: str) -> None:
    series = write_series(tmp_path / "series")
    made = save(tmp_path / "mask.dcm", series, OBJECTS, kind=kind)
    uids = {str(pydicom.dcmread(file).SOPInstanceUID) for file in series.iterdir()}
    referenced = made.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {str(item.ReferencedSOPInstanceUID) for item in referenced} == uids
    slices = [LIVER.any(axis=(1, 2)), KIDNEY.any(axis=(1, 2))]
    expected = sum(map(np.count_nonzero, slices)) if kind == "seg" else np.count_nonzero(slices[0] | slices[1])
    assert made.NumberOfFrames == expected
    assert made.ContentCreatorName == ""


def test_contours_name_their_objects_and_refer_to_their_slices(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    made = save(tmp_path / "mask.dcm", series, OBJECTS, kind="rtstruct", creator="Doe^John")
    assert [(roi.ROINumber, roi.ROIName) for roi in made.StructureSetROISequence] == [(2, "Liver"), (7, "kidney_left")]
    assert [roi.ROIGenerationAlgorithm for roi in made.StructureSetROISequence] == ["SEMIAUTOMATIC", "AUTOMATIC"]
    assert list(made.ROIContourSequence[0].ROIDisplayColor) == [round(255 * part) for part in label_colour(2)]
    assert made.RTROIObservationsSequence[1].RTROIIdentificationCodeSequence[0].CodeMeaning == "Kidney"
    assert made.OperatorsName == "Doe^John"
    places = {
        str(image.SOPInstanceUID): float(image.ImagePositionPatient[2])
        for image in map(pydicom.dcmread, series.iterdir())
    }
    frame = made.ReferencedFrameOfReferenceSequence[0]
    listed = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    assert {str(image.ReferencedSOPInstanceUID) for image in listed} == set(places)
    for contour in made.ROIContourSequence[0].ContourSequence:
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        assert contour.NumberOfContourPoints * 3 == len(contour.ContourData)
        assert max(len(str(value)) for value in contour.ContourData) <= 16
        uid = str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)
        assert {float(value) for value in contour.ContourData[2::3]} == {places[uid]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["肝臓", "a\\b", "x" * 70, "two\nlines", ""])
def test_any_name_of_an_object(tmp_path: Path, kind: str, name: str) -> None:
    series = write_series(tmp_path / "series")
    made = save(tmp_path / "mask.dcm", series, [LabelledObject(3, name, LIVER)], kind=kind)
    expected = " ".join(name.replace("\\", " ").split())[:64] or "Segment 3"
    label = made.StructureSetROISequence[0].ROIName if kind == "rtstruct" else made.SegmentSequence[-1].SegmentLabel
    assert label == expected
    assert np.array_equal(read_back(tmp_path / "mask.dcm", series, expected), LIVER)


@pytest.mark.parametrize(
    ("name", "kind", "side"),
    [
        ("spleen", "Spleen", None),
        ("Right kidney", "Kidney", "Right"),
        ("kidney_left", "Kidney", "Left"),
        ("lung_upper_lobe_right", "UpperLobeOfLung", "Right"),
        ("heart_ventricle_left", "LeftVentricle", None),
        ("vertebrae_L3", "L3Vertebra", None),
        ("rib_left_11", "Rib", "Left"),
        ("Tumour", "Tumor", None),
        ("urinary bladder", "Bladder", None),
        ("", "Tissue", None),
    ],
)
def test_common_organs_have_codes_of_snomed(name: str, kind: str, side: str | None) -> None:
    meaning = code_of(name)
    assert meaning.kind == getattr(codes.SCT, kind)
    assert meaning.side == (getattr(codes.SCT, side) if side else None)


def test_a_code_that_is_known_wins_over_the_name() -> None:
    known = code_of("left thing", codes.SCT.Kidney.value)
    assert (known.kind, known.category, known.side) == (codes.SCT.Kidney, codes.SCT.AnatomicalStructure, None)
    assert code_of("left kidney", codes.SCT.Kidney.value) == code_of("left kidney")
    assert code_of("tumour of mine", codes.SCT.Nodule.value).category == codes.SCT.MorphologicallyAbnormalStructure
    other = code_of("Leber", "123456789012345678").kind
    assert (other.value, other.scheme_designator, other.meaning) == ("123456789012345678", "SCT", "Leber")


@pytest.mark.parametrize("name", ["vertebrae_C9", "left", "left right", "Leber", "my liver", "x" * 300, "a\\b"])
def test_another_name_is_a_code_of_its_own(name: str) -> None:
    meaning = code_of(name)
    assert meaning.kind.scheme_designator == PRIVATE_SCHEME
    assert meaning.kind.meaning == name[:64]
    assert 0 < len(meaning.kind.value) <= 16
    assert "\\" not in meaning.kind.value


def test_objects_that_overlap_are_no_label_map(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    objects = [LabelledObject(1, "", LIVER), LabelledObject(2, "", OVERLAPPING)]
    with pytest.raises(InvalidArgument, match=r"object 2 overlaps others.*LABELMAP.* BINARY"):
        save(tmp_path / "mask.dcm", series, objects, kind="labelmap")
    assert not (tmp_path / "mask.dcm").exists()


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
@pytest.mark.parametrize(
    ("keyword", "edit"),
    [
        *(
            (keyword, edit)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")
            for edit in (removing(keyword), setting(keyword, ""), setting(keyword, "1.02.x"))
        ),
        ("StudyInstanceUID", setting("StudyInstanceUID", "1.2.3.4", of=3)),
        ("FrameOfReferenceUID", setting("FrameOfReferenceUID", "1.2.3.4", of=3)),
        ("SOPInstanceUID", setting("SOPInstanceUID", "1.2.3.4")),
        ("SOPInstanceUID", setting("SOPInstanceUID", "1.02.3", of=3)),
    ],
)
def test_an_image_whose_uids_are_wrong_is_refused(tmp_path: Path, kind: str, keyword: str, edit: Edit) -> None:
    image = write_series(tmp_path / "series", edit=edit)
    with pytest.raises(VolumeError, match=keyword) as caught:
        save(tmp_path / "mask.dcm", image, OBJECTS, kind=kind)
    assert "export the series anew" in caught.value.message
    assert "1.2.3" not in caught.value.message
    assert not (tmp_path / "mask.dcm").exists()


def test_an_enhanced_file_without_a_uid_is_refused(tmp_path: Path) -> None:
    image = write_enhanced(tmp_path / "image.dcm", edit=lambda dataset: removing("FrameOfReferenceUID")(dataset, 0))
    with pytest.raises(VolumeError, match="FrameOfReferenceUID is missing or empty in 1 of 1 files"):
        save(tmp_path / "mask.dcm", image, OBJECTS)
