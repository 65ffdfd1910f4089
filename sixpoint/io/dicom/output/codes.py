"""Codes of what a segment shows: SNOMED CT for common organs and lesions, from pydicom's dictionary; else its name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

__all__ = ["PRIVATE_SCHEME", "Meaning", "code_of"]

PRIVATE_SCHEME = "99SIXPOINT"
"""Coding scheme of names that have no code: the meaning is the name."""

# Keywords of pydicom's dictionary. A name of these words, in any spelling, has the code.
_ANATOMY = """
    Abdomen AbdominalAorta AdrenalGland Amygdala Aorta AorticArch Appendix Artery AscendingAorta AscendingColon
    BileDuct Bladder BloodVessel Bone BrachiocephalicTrunk BrachiocephalicVein Brain BrainStem Breast Bronchus
    Calcaneus CarotidArtery Carpus Cartilage CaudateNucleus Cecum Cerebellum CerebralHemisphere Cervix Clavicle
    Coccyx Colon CommonCarotidArtery CommonIliacArtery CommonIliacVein CoronaryArtery CorpusCallosum CostalCartilage
    DescendingAorta DescendingColon Diaphragm Duodenum ErectorSpinaeMuscle Esophagus ExternalCarotidArtery
    ExternalIliacArtery ExternalIliacVein Eye Eyeball Face FemoralArtery Femur Fibula Foot FourthVentricle
    FrontalLobe Gallbladder GlobusPallidus Hand Head Heart HepaticArtery HepaticVein Hip Hippocampus Humerus
    IliacArtery IliacVein Ilium InferiorVenaCava InternalCarotidArtery InternalIliacArtery InternalIliacVein
    InternalJugularVein Ischium Kidney Knee LacrimalGland LargeIntestine Larynx LateralVentricle LeftAtrium
    LeftVentricle LeftVentricleMyocardium Lens Ligament Liver LowerLobeOfLung Lung LymphNode Mandible Maxilla
    MaxillarySinus Mediastinum Meniscus Midbrain MiddleLobeOfRightLung Neck NucleusAccumbens OccipitalLobe
    OpticChiasm OpticNerve Ovary Pancreas ParietalLobe ParotidGland Patella PectoralisMajorMuscle Pelvis Penis
    Pericardium PeripheralZoneOfTheProstate Pharynx Pituitary Placenta PortalVein Prostate PulmonaryArtery
    PulmonaryVein Putamen RadiusBone Rectum RenalArtery RenalVein Rib RightAtrium RightVentricle Sacrum Scapula
    SeminalVesicle Shoulder SigmoidColon SkeletalMuscle Skin Skull SmallIntestine SpinalCord Spine Spleen
    SplenicVein Sternum Stomach SubclavianArtery SubmandibularGland SuperiorMesentericArtery SuperiorVenaCava Talus
    TemporalLobe Tendon Testis Thalamus ThirdVentricle ThoracicAorta Thorax Thymus Thyroid Tibia Tongue Tooth
    Trachea TransitionZoneOfTheProstate TransverseColon Ulna UpperLobeOfLung Ureter Urethra Uterus Vagina Vein
    VenaCava Vertebra VertebralArtery VertebralCanal
"""
_ABNORMAL = """
    Abscess Aneurysm Cyst Edema Effusion Hematoma Hemorrhage Lesion Mass Metastasis Necrosis Neoplasm Nodule
    PleuralEffusion Pneumothorax Thrombus Tumor
"""
_TISSUE = """
    AdiposeTissue Blood CerebrospinalFluid GrayMatter Muscle Tissue WhiteMatter
"""
_CATEGORY = {
    keyword: category
    for keywords, category in (
        (_ANATOMY, "AnatomicalStructure"),
        (_ABNORMAL, "MorphologicallyAbnormalStructure"),
        (_TISSUE, "Tissue"),
    )
    for keyword in keywords.split()
}
# Other names of the same: British spelling, plurals, and those of TotalSegmentator.
_SYNONYMS = {
    "Adrenal": "AdrenalGland",
    "Brainstem": "BrainStem",
    "Csf": "CerebrospinalFluid",
    "Fat": "AdiposeTissue",
    "GreyMatter": "GrayMatter",
    "Haematoma": "Hematoma",
    "Haemorrhage": "Hemorrhage",
    "HeartAtriumLeft": "LeftAtrium",
    "HeartAtriumRight": "RightAtrium",
    "HeartMyocardium": "LeftVentricleMyocardium",
    "HeartVentricleLeft": "LeftVentricle",
    "HeartVentricleRight": "RightVentricle",
    "IliacVena": "IliacVein",
    "Kidneys": "Kidney",
    "LungLowerLobe": "LowerLobeOfLung",
    "LungMiddleLobeRight": "MiddleLobeOfRightLung",
    "LungUpperLobe": "UpperLobeOfLung",
    "Lungs": "Lung",
    "Oedema": "Edema",
    "Oesophagus": "Esophagus",
    "Parotid": "ParotidGland",
    "PituitaryGland": "Pituitary",
    "SmallBowel": "SmallIntestine",
    "SpinalCanal": "VertebralCanal",
    "ThyroidGland": "Thyroid",
    "Tumour": "Tumor",
    "UrinaryBladder": "Bladder",
}
_VERTEBRA = re.compile(r"(?:Vertebra|Vertebrae)([CTL]\d{1,2})|([CTL]\d{1,2})Vertebra")
_RIB = re.compile(r"Rib\d{1,2}")
_SIDES = ("Left", "Right")
_CODE_LENGTH, _MEANING_LENGTH = 16, 64


@dataclass(frozen=True)
class Meaning:
    """What a segment shows.

    Attributes:
        category: Category, such as anatomical structure.
        kind: What it is, such as kidney.
        side: Left or right; None where the name does not say it.
    """

    category: Code
    kind: Code
    side: Code | None = None


def code_of(name: str, snomed_code: str = "") -> Meaning:
    """What a label's name stands for; of an unknown name, a code of its own; without a name, tissue.

    Args:
        name: Name, such as "Left kidney", "kidney_left" or "vertebrae_L1".
        snomed_code: SNOMED CT code that is known; empty to look the name up.
    """
    if snomed_code:
        return _with_code(name, snomed_code)
    words = [word.capitalize() for word in re.findall(r"[^\W_]+", name)]
    if not words:
        return Meaning(codes.SCT.Tissue, codes.SCT.Tissue)
    known = _look_up("".join(words))
    if known:
        return known
    side = {word for word in words if word in _SIDES}
    if len(side) == 1:
        known = _look_up("".join(word for word in words if word not in _SIDES))
        if known:
            return Meaning(known.category, known.kind, getattr(codes.SCT, side.pop()))
    text = " ".join(name.split())
    value = text if len(text) <= _CODE_LENGTH and text.isascii() and "\\" not in text else _digest(name)
    return Meaning(codes.SCT.AnatomicalStructure, Code(value, PRIVATE_SCHEME, text[:_MEANING_LENGTH]))


def _with_code(name: str, snomed_code: str) -> Meaning:
    """What a SNOMED CT code stands for; of one that pydicom's dictionary lacks, the name is the meaning."""
    by_name = code_of(name)
    for keyword, category in _CATEGORY.items():
        kind = getattr(codes.SCT, keyword)
        if kind.value == snomed_code:
            side = by_name.side if by_name.kind.value == snomed_code else None
            return Meaning(getattr(codes.SCT, category), kind, side)
    text = " ".join(name.split()) or snomed_code
    return Meaning(by_name.category, Code(snomed_code, "SCT", text[:_MEANING_LENGTH]))


def _look_up(word: str) -> Meaning | None:
    """The code of a name that is written as one word of capitalised words."""
    vertebra = _VERTEBRA.fullmatch(word)
    if vertebra:
        # There is no code of a vertebra that no spine has, such as C9.
        code = getattr(codes.SCT, f"{vertebra[1] or vertebra[2]}Vertebra", None)
        return Meaning(codes.SCT.AnatomicalStructure, code) if code else None
    keyword = "Rib" if _RIB.fullmatch(word) else _SYNONYMS.get(word, word)
    if keyword not in _CATEGORY:
        return None
    return Meaning(getattr(codes.SCT, _CATEGORY[keyword]), getattr(codes.SCT, keyword))


def _digest(name: str) -> str:
    """A code value of a name that is too long to be one, or has letters that none may have."""
    return hashlib.sha256(name.encode()).hexdigest()[:_CODE_LENGTH]
