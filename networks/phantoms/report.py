"""Texts of earlier imaging reports of the upper abdomen, in English and Chinese.

They describe what was seen and never state a grade or a stage. Some say nothing of the liver, some
are of another day, or simply wrong (pipelines.md §7.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from networks.phantoms.patient import Patient

ABSENT = 0.3
"""Share of patients without a report."""

WRONG = 0.2
"""Share of reports that describe some other liver."""

SILENT = 0.15
"""Share of reports that say nothing of the liver."""

SEEN_FAT_PERCENT, SEEN_FAT_WIDTH = 13.0, 3.0
"""PDFF at which half of readers mention fat, and how quickly more of them do (chosen; a reader sees
fat on native CT or ultrasound from about a fifth of fat cells on)."""

SEEN_FIBROSIS = (0.02, 0.05, 0.14, 0.4, 0.8)
"""Share of reports that mention a sign of fibrosis, by stage, of those that look at the liver."""

LARGE_SPLEEN_ML, LARGE_SPLEEN_WIDTH = 380.0, 60.0
"""Spleen volume at which half of readers call it large, and how quickly more of them do."""


@dataclass(frozen=True)
class Phrases:
    """What a reader may write, in one language."""

    openings: tuple[str, ...]
    fat: tuple[str, ...]
    lean: tuple[str, ...]
    fibrosis: tuple[str, ...]
    smooth: tuple[str, ...]
    large_spleen: tuple[str, ...]
    spleen: tuple[str, ...]
    others: tuple[tuple[str, ...], ...]
    """What is said of another organ: at most one of each."""
    fat_conclusions: tuple[str, ...]
    fibrosis_conclusions: tuple[str, ...]
    plain_conclusions: tuple[str, ...]
    gap: str


ENGLISH = Phrases(
    openings=(
        "CT abdomen without contrast, compared with the previous examination.",
        "Non-contrast CT of chest and upper abdomen.",
        "Technique: native CT, 5 mm. Clinical question: abdominal discomfort.",
        "Indication: health check.",
        "FINDINGS:",
    ),
    fat=(
        "The liver is of lower attenuation than the spleen.",
        "Diffusely decreased attenuation of the liver; the vessels stand out against it.",
        "Echogenic liver on the last ultrasound; on CT it is darker than the spleen.",
        "Hepatic parenchyma less dense than expected, in keeping with fatty infiltration.",
        "Fatty change of the liver with sparing beside the gallbladder fossa.",
    ),
    lean=(
        "The liver is of homogeneous attenuation, denser than the spleen.",
        "Normal density of the liver.",
        "Hepatic attenuation is within normal limits.",
        "No focal hepatic lesion.",
        "The liver is unremarkable.",
    ),
    fibrosis=(
        "The liver margin is irregular.",
        "Undulating hepatic contour, left lobe and caudate prominent.",
        "Caudate lobe enlarged relative to the right lobe; fissures widened.",
        "Coarse parenchymal texture, surface nodular.",
        "The portal vein is wide at the hilum.",
        "Appearance suggests chronic parenchymal liver disease.",
    ),
    smooth=(
        "Liver contour smooth, no surface nodularity.",
        "Size and shape of the liver are normal.",
        "Portal vein of normal calibre.",
        "Hepatic margins are smooth.",
    ),
    large_spleen=(
        "Splenomegaly.",
        "The spleen is enlarged.",
        "Spleen long, reaching below the costal margin.",
    ),
    spleen=("Spleen unremarkable.", "The spleen is not enlarged.", "Normal spleen."),
    others=(
        ("Gallbladder without stones.", "Small gallstones, no wall thickening."),
        ("Pancreas unremarkable.", "Fatty lobulated pancreas."),
        ("Kidneys without obstruction.", "Simple cyst of the left kidney."),
        ("No enlarged lymph nodes.",),
        ("Degenerative change of the spine.",),
        ("Basal lungs clear.", "Dependent atelectasis at the bases."),
        ("No free fluid.",),
        ("Adrenal glands slender.",),
    ),
    fat_conclusions=("IMPRESSION: fatty liver.", "Impression: hepatic steatosis."),
    fibrosis_conclusions=(
        "IMPRESSION: signs of chronic liver disease, correlate with laboratory values.",
        "Impression: parenchymal liver disease; elastography may help.",
    ),
    plain_conclusions=(
        "IMPRESSION: no acute abnormality.",
        "Impression: no significant finding in the upper abdomen.",
        "",
    ),
    gap=" ",
)

CHINESE = Phrases(
    openings=(
        "上腹部CT平扫，与前片比较。",
        "胸部及上腹部CT平扫。",
        "检查所见：",
        "体检。",
    ),
    fat=(
        "肝脏密度弥漫性减低，低于脾脏。",
        "肝实质密度减低，血管影相对显示清晰。",
        "超声示肝实质回声增强，CT 示密度低于脾脏。",
        "肝脏密度低于同层面脾脏，符合脂肪浸润。",
        "肝脏脂肪浸润，胆囊窝旁见相对正常肝岛。",
    ),
    lean=(
        "肝脏密度均匀，高于脾脏。",
        "肝实质密度未见异常。",
        "肝内未见异常密度影。",
        "肝脏未见明显异常。",
    ),
    fibrosis=(
        "肝脏边缘欠光整。",
        "肝表面呈波浪状，左叶及尾状叶饱满。",
        "肝叶比例失调，尾状叶增大，肝裂增宽。",
        "肝实质密度不均，表面呈结节状。",
        "门静脉主干增宽。",
        "考虑慢性肝病改变。",
    ),
    smooth=("肝脏表面光滑。", "肝脏形态、大小正常。", "门静脉未见增宽。", "肝叶比例协调。"),
    large_spleen=("脾大。", "脾脏体积增大。", "脾脏增厚，下缘超过肋缘。"),
    spleen=("脾脏不大。", "脾脏未见异常。", "脾形态、密度正常。"),
    others=(
        ("胆囊未见结石。", "胆囊多发小结石，壁不厚。"),
        ("胰腺形态、密度未见异常。", "胰腺脂肪浸润。"),
        ("双肾未见积水。", "左肾囊肿。"),
        ("腹膜后未见肿大淋巴结。",),
        ("脊柱退行性变。",),
        ("双肺下叶未见实变。", "双肺底少许坠积性改变。"),
        ("未见腹水。",),
        ("双侧肾上腺未见增粗。",),
    ),
    fat_conclusions=("诊断意见：脂肪肝。", "印象：肝脏脂肪变。"),
    fibrosis_conclusions=(
        "诊断意见：慢性肝病改变，请结合实验室检查。",
        "印象：肝实质弥漫性病变，建议弹性成像检查。",
    ),
    plain_conclusions=("诊断意见：上腹部未见明显异常。", "印象：未见急性病变。", ""),
    gap="",
)

LANGUAGES = (ENGLISH, CHINESE)


def draw_report(rng: np.random.Generator, patient: Patient, pdff_percent: float, stage: int) -> str:
    """Draw the text of a report, or an empty one.

    Parameters
    ----------
    rng : Generator
        Draws everything.
    patient : Patient
        Whose spleen is described.
    pdff_percent : float
        Proton density fat fraction of the liver.
    stage : int
        Of fibrosis, 0 to 4.
    """
    if rng.random() < ABSENT:
        return ""
    says = LANGUAGES[int(rng.integers(len(LANGUAGES)))]
    spleen_ml = patient.volume_ml["spleen"]
    if rng.random() < WRONG:
        pdff_percent, stage = float(rng.uniform(1, 34)), int(rng.integers(5))
        spleen_ml = float(np.exp(rng.uniform(np.log(80), np.log(700))))
    looks = bool(rng.random() >= SILENT)
    fat = looks and rng.random() < _rising(pdff_percent, SEEN_FAT_PERCENT, SEEN_FAT_WIDTH)
    scarred = looks and rng.random() < SEEN_FIBROSIS[stage]
    large = bool(rng.random() < _rising(spleen_ml, LARGE_SPLEEN_ML, LARGE_SPLEEN_WIDTH))
    body = []
    if looks:
        body += _some(rng, says.fat if fat else says.lean, 1 + int(rng.random() < 0.3))
        if scarred:
            body += _some(rng, says.fibrosis, int(rng.integers(1, 4)))
        elif rng.random() < 0.6:
            body += _some(rng, says.smooth, 1)
    if large or rng.random() < 0.6:
        body += _some(rng, says.large_spleen if large else says.spleen, 1)
    for organ in rng.permutation(len(says.others))[: int(rng.integers(2, 6))]:
        body += _some(rng, says.others[organ], 1)
    closing = []
    if fat and rng.random() < 0.7:
        closing += _some(rng, says.fat_conclusions, 1)
    if scarred and rng.random() < 0.7:
        closing += _some(rng, says.fibrosis_conclusions, 1)
    if not closing:
        closing += _some(rng, says.plain_conclusions, 1)
    parts = [*_some(rng, says.openings, 1), *body, *closing]
    return says.gap.join(part for part in parts if part)


def _some(rng: np.random.Generator, choices: tuple[str, ...], count: int) -> list[str]:
    """Draw some of the choices, each once."""
    return [choices[int(n)] for n in rng.permutation(len(choices))[:count]]


def _rising(value: float, middle: float, width: float) -> float:
    return float(1 / (1 + np.exp((middle - value) / width)))
