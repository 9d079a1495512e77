"""The 73 findings of the chest check: names, groups, words, and where each comes from.

The list is ours (pipelines.md §2.5), not a vendor's. A label is planted by kinds of the chest's own
planter or of another check's; one without a phantom has a reason, and is never reported negative.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from networks.phantoms.lesion import Lesion

GROUPS = ("lung", "airway", "pleura", "mediastinum", "oesophagus", "chest_wall", "abdomen")
"""Order of the groups: 28, 6, 7, 16, 3, 7 and 6 labels; ``mediastinum`` holds heart and vessels."""


@dataclass(frozen=True)
class ChestLabel:
    """One of the 73 findings.

    Attributes
    ----------
    name : str
        Code name, snake_case.
    group : str
        One of `GROUPS`.
    english, chinese : str
        Text for a report.
    planters : tuple of str
        ``check.kind`` of what draws it, or ``check.*`` for any finding of a check; empty where
        there is no phantom.
    no_phantom : str or None
        Why there is none.
    """

    name: str
    group: str
    english: str
    chinese: str
    planters: tuple[str, ...] = ()
    no_phantom: str | None = None

    @property
    def has_phantom(self) -> bool:
        """Whether it can be planted."""
        return bool(self.planters)


def _own(name: str, group: str, english: str, chinese: str) -> ChestLabel:
    return ChestLabel(name, group, english, chinese, (f"chest.{name}",))


def _from(name: str, group: str, english: str, chinese: str, *planters: str) -> ChestLabel:
    return ChestLabel(name, group, english, chinese, planters)


def _none(name: str, group: str, english: str, chinese: str, reason: str) -> ChestLabel:
    return ChestLabel(name, group, english, chinese, (), reason)


CHEST_LABELS: tuple[ChestLabel, ...] = (
    # lung, 28
    _from("solid_nodule", "lung", "Solid nodule", "实性结节", "nodule.solid_nodule"),
    _from("part_solid_nodule", "lung", "Part-solid nodule", "部分实性结节",
          "nodule.part_solid_nodule"),
    _from("ground_glass_nodule", "lung", "Ground-glass nodule", "磨玻璃结节",
          "nodule.ground_glass_nodule"),
    _from("calcified_nodule", "lung", "Calcified nodule", "钙化结节", "nodule.calcified_nodule"),
    _own("mass", "lung", "Lung mass (over 30 mm)", "肺肿块"),
    _own("micronodules", "lung", "Micronodules", "微小结节（粟粒影）"),
    _own("consolidation", "lung", "Consolidation", "实变"),
    _own("ggo", "lung", "Ground-glass opacity", "磨玻璃影"),
    _own("crazy_paving", "lung", "Crazy-paving pattern", "铺路石征"),
    _own("tree_in_bud", "lung", "Tree-in-bud pattern", "树芽征"),
    _own("cavity", "lung", "Cavity", "空洞"),
    _own("cyst", "lung", "Lung cyst", "肺囊肿（薄壁含气囊腔）"),
    _own("bulla", "lung", "Bulla", "肺大疱"),
    _own("emphysema_centrilobular", "lung", "Centrilobular emphysema", "小叶中央型肺气肿"),
    _own("emphysema_paraseptal", "lung", "Paraseptal emphysema", "间隔旁型肺气肿"),
    _own("emphysema_panlobular", "lung", "Panlobular emphysema", "全小叶型肺气肿"),
    _own("honeycombing", "lung", "Honeycombing", "蜂窝影"),
    _own("reticulation", "lung", "Reticulation", "网格影"),
    _own("septal_thickening", "lung", "Interlobular septal thickening", "小叶间隔增厚"),
    _own("fibrotic_cord", "lung", "Fibrotic cords", "纤维条索影"),
    _own("atelectasis", "lung", "Atelectasis", "肺不张"),
    _own("mosaic", "lung", "Mosaic attenuation", "马赛克征"),
    _none("air_trapping", "lung", "Air trapping", "空气潴留",
          "shows on an expiratory scan only; a phantom has one breath"),
    _own("pulmonary_oedema", "lung", "Pulmonary oedema", "肺水肿"),
    _own("tb_sequela", "lung", "Sequelae of tuberculosis", "陈旧性肺结核"),
    _none("post_operative", "lung", "Post-operative change", "术后改变",
          "changes the anatomy as a whole: lobes, staples, a shifted mediastinum"),
    _own("post_radiation", "lung", "Post-radiation change", "放疗后改变"),
    _own("aspiration", "lung", "Aspiration", "吸入性改变"),
    # airway, 6
    _own("airway_wall_thickening", "airway", "Bronchial wall thickening", "支气管壁增厚"),
    _own("bronchiectasis", "airway", "Bronchiectasis", "支气管扩张"),
    _own("mucus_plug", "airway", "Mucus plugging", "黏液栓"),
    _own("tracheal_stenosis", "airway", "Tracheal stenosis", "气管狭窄"),
    _own("endobronchial_nodule", "airway", "Endobronchial nodule", "气道内结节"),
    _own("tracheal_diverticulum", "airway", "Tracheal diverticulum", "气管憩室"),
    # pleura, 7
    _own("pleural_effusion", "pleura", "Pleural effusion", "胸腔积液"),
    _own("pleural_thickening", "pleura", "Pleural thickening", "胸膜增厚"),
    _own("calcified_pleural_plaque", "pleura", "Calcified pleural plaque", "胸膜钙化斑"),
    _own("pneumothorax", "pleura", "Pneumothorax", "气胸"),
    _own("pleural_nodule", "pleura", "Pleural nodule", "胸膜结节"),
    _own("loculated_effusion", "pleura", "Loculated effusion or empyema", "包裹性积液或脓胸"),
    _own("hydropneumothorax", "pleura", "Hydropneumothorax", "液气胸"),
    # heart, vessels, mediastinum, 16
    _own("cardiomegaly", "mediastinum", "Enlarged heart", "心影增大"),
    _own("pericardial_effusion", "mediastinum", "Pericardial effusion", "心包积液"),
    _own("pericardial_calcification", "mediastinum", "Pericardial calcification", "心包钙化"),
    _from("coronary_calcification", "mediastinum", "Coronary artery calcification",
          "冠状动脉钙化", "calcium.*"),
    _own("aortic_calcification", "mediastinum", "Aortic calcification", "主动脉钙化"),
    _own("ascending_dilatation", "mediastinum", "Dilated ascending aorta", "升主动脉增宽"),
    _own("descending_aneurysm", "mediastinum", "Descending aortic aneurysm", "降主动脉瘤"),
    _from("acute_aortic_syndrome", "mediastinum", "Suspected acute aortic syndrome",
          "可疑急性主动脉综合征", "aorta.*"),
    _own("valve_calcification", "mediastinum", "Aortic valve calcification", "主动脉瓣钙化"),
    _own("pa_dilatation", "mediastinum", "Dilated pulmonary artery", "肺动脉增宽"),
    _own("mediastinal_lymph_node", "mediastinum", "Enlarged mediastinal lymph node",
         "纵隔淋巴结肿大"),
    _own("hilar_lymph_node", "mediastinum", "Enlarged hilar lymph node", "肺门淋巴结肿大"),
    _own("calcified_lymph_node", "mediastinum", "Calcified lymph node", "淋巴结钙化"),
    _own("mediastinal_mass", "mediastinum", "Mediastinal mass", "纵隔肿块"),
    _own("thymic_lesion", "mediastinum", "Thymic lesion", "胸腺病变"),
    _own("thyroid_nodule", "mediastinum", "Thyroid nodule", "甲状腺结节"),
    # oesophagus and diaphragm, 3
    _own("hiatal_hernia", "oesophagus", "Hiatal hernia", "食管裂孔疝"),
    _own("oesophageal_wall_thickening", "oesophagus", "Oesophageal wall thickening",
         "食管壁增厚"),
    _none("elevated_diaphragm", "oesophagus", "Elevated diaphragm", "膈肌抬高",
          "changes the anatomy as a whole: it would have to be drawn with the patient"),
    # bone and chest wall, 7
    _own("rib_fracture", "chest_wall", "Rib fracture", "肋骨骨折"),
    _own("vertebral_compression", "chest_wall", "Vertebral compression fracture",
         "椎体压缩性骨折"),
    _own("low_bone_density", "chest_wall", "Low bone density", "骨密度减低"),
    _from("blastic_lesion", "chest_wall", "Sclerotic bone lesion", "成骨性病变",
          "bone.blastic_metastasis", "bone.mixed_metastasis"),
    _from("lytic_lesion", "chest_wall", "Lytic bone lesion", "溶骨性病变",
          "bone.lytic_metastasis", "bone.mixed_metastasis"),
    _own("breast_mass", "chest_wall", "Breast mass", "乳腺肿块"),
    _own("axillary_lymph_node", "chest_wall", "Enlarged axillary lymph node", "腋窝淋巴结肿大"),
    # upper abdomen, 6
    _from("steatosis", "abdomen", "Hepatic steatosis", "脂肪肝", "liver.*"),
    _own("liver_cyst", "abdomen", "Liver cyst", "肝囊肿"),
    _own("gallstone", "abdomen", "Gallstone", "胆囊结石"),
    _from("renal_stone_or_cyst", "abdomen", "Renal stone or cyst", "肾结石或肾囊肿",
          "chest.renal_stone", "chest.renal_cyst"),
    _own("adrenal_nodule", "abdomen", "Adrenal nodule", "肾上腺结节"),
    _from("pancreas_or_stomach", "abdomen", "Finding of pancreas or stomach: see that check",
          "胰腺或胃病变（见专项）", "pancreas.*", "stomach.*"),
)  # fmt: skip
"""The 73 labels in the order of pipelines.md §2.5; a label's place in it is its index."""

LABEL_NAMES: tuple[str, ...] = tuple(label.name for label in CHEST_LABELS)
"""Code names by index."""

NO_PHANTOM: dict[str, str] = {
    label.name: label.no_phantom for label in CHEST_LABELS if label.no_phantom is not None
}
"""Labels without a phantom → why."""

_OF: dict[str, tuple[str, ...]] = {
    planter: tuple(label.name for label in CHEST_LABELS if planter in label.planters)
    for planter in dict.fromkeys(p for label in CHEST_LABELS for p in label.planters)
}


def labels_of_kind(check: str, kind: str) -> tuple[str, ...]:
    """Return the labels that a planted finding of a check carries; none for most of other checks.

    Fatty liver is one of a check's kinds among others: ``liver.*`` stands only for those that are
    named for it.
    """
    if check == "liver":
        return ("steatosis",) if "fatty" in kind or "steatosis" in kind else ()
    return (*_OF.get(f"{check}.{kind}", ()), *_OF.get(f"{check}.*", ()))


def labels_of(lesions: Iterable[Lesion]) -> frozenset[str]:
    """Return the labels that are true of a scene by what was planted in it."""
    return frozenset(
        name
        for lesion in lesions
        if lesion.is_finding
        for name in labels_of_kind(lesion.check, lesion.kind)
    )
