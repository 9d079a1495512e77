"""What the pages say, in English and Chinese; findings bring their own text."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "zh")

_WORDS: Mapping[str, tuple[str, str]] = {
    "worklist": ("Worklist", "工作列表"),
    "sign_out": ("Sign out", "退出"),
    "sign_in": ("Sign in", "登录"),
    "language": ("中文", "English"),
    "live": ("Live", "实时"),
    "offline": ("Reconnecting", "重新连接中"),
    "not_clinical": (
        "Reference networks trained on synthetic phantoms. Not for clinical use.",
        "参考网络由合成体模训练，不得用于临床。",
    ),
    # --- worklist
    "critical_results": ("Critical results", "危急结果"),
    "no_critical": ("No critical result is waiting.", "暂无待确认的危急结果。"),
    "acknowledge": ("Acknowledge", "确认"),
    "open": ("Open", "打开"),
    "asked": ("Asked", "已通知"),
    "nobody_yet": ("nobody yet", "尚未通知"),
    "escalated": ("escalated", "已升级"),
    "overdue": ("nobody answered", "无人应答"),
    "next_in": ("next in", "升级倒计时"),
    "acknowledged_by": ("Acknowledged by", "确认人"),
    "filters": ("Filters", "筛选"),
    "any": ("any", "全部"),
    "status": ("Status", "状态"),
    "check": ("Check", "筛查项"),
    "result": ("Result", "结果"),
    "urgency": ("Urgency", "紧急程度"),
    "lane": ("Lane", "通道"),
    "from": ("From", "起始"),
    "to": ("To", "截止"),
    "report": ("Report", "报告"),
    "unsigned": ("not signed", "未签署"),
    "signed": ("signed", "已签署"),
    "patient_id": ("Patient ID", "患者编号"),
    "apply": ("Apply", "应用"),
    "clear": ("Clear", "清除"),
    "patient": ("Patient", "患者"),
    "study": ("Study", "检查"),
    "findings": ("Findings", "发现"),
    "waiting": ("Age", "等待"),
    "studies": ("Studies", "检查列表"),
    "empty": ("No study matches.", "没有符合条件的检查。"),
    "next_page": ("Next page", "下一页"),
    "previous_page": ("Previous page", "上一页"),
    "runs_again": ("being screened again", "正在重新筛查"),
    "failed_again": ("screening it again failed", "重新筛查失败"),
    "nothing_found": ("Nothing flagged", "未见提示"),
    "help": ("Keys", "快捷键"),
    "close": ("Close", "关闭"),
    "key_next": ("next, previous study", "下一个、上一个检查"),
    "key_open": ("open the study", "打开检查"),
    "key_search": ("to the patient ID", "定位到患者编号"),
    "key_acknowledge": ("acknowledge the first critical result", "确认第一条危急结果"),
    "key_help": ("this help", "本帮助"),
    # --- states
    "accepted": ("waiting", "排队中"),
    "running": ("running", "处理中"),
    "done": ("done", "完成"),
    "failed": ("failed", "失败"),
    "cancelled": ("cancelled", "已取消"),
    "positive": ("positive", "阳性"),
    "negative": ("negative", "阴性"),
    "indeterminate": ("indeterminate", "不确定"),
    "not_evaluated": ("not evaluated", "未评估"),
    "critical": ("critical", "危急"),
    "urgent": ("urgent", "紧急"),
    "follow_up": ("follow-up", "随访"),
    "note": ("note", "提示"),
    "none": ("none", "无"),
    "stat": ("stat", "急诊"),
    "routine": ("routine", "常规"),
    "backfill": ("backfill", "补扫"),
    # --- study
    "axial": ("Axial", "轴位"),
    "coronal": ("Coronal", "冠状位"),
    "sagittal": ("Sagittal", "矢状位"),
    "series": ("Series", "序列"),
    "lung": ("Lung", "肺窗"),
    "soft": ("Soft tissue", "软组织窗"),
    "bone": ("Bone", "骨窗"),
    "liver_window": ("Liver", "肝窗"),
    "scroll": ("Scroll", "翻页"),
    "window": ("Window", "调窗"),
    "measure": ("Measure", "测距"),
    "boxes": ("Boxes", "病灶框"),
    "outlines": ("Outlines", "轮廓"),
    "reset": ("Reset", "复位"),
    "no_pixels": (
        "The images of this study are not kept any more; the results are.",
        "该检查的图像已不再保留，结果仍可查看。",
    ),
    "no_volume": ("No series of this study can be shown.", "该检查没有可显示的序列。"),
    "lesions": ("Lesions", "病灶"),
    "slice": ("slice", "层"),
    "score": ("score", "评分"),
    "mark": ("mark", "标记"),
    "flag": ("flag", "报警"),
    "below_mark": ("below the mark threshold", "低于标记阈值"),
    "above_mark": ("over the mark threshold", "超过标记阈值"),
    "above_flag": ("over the flag threshold", "超过报警阈值"),
    "why": ("Why", "原因"),
    "measures": ("Measures", "测量值"),
    "rules": ("Rules", "临床规则"),
    "missing": ("missing", "缺少"),
    "provenance": ("Provenance", "溯源"),
    "quality": ("How the series was chosen", "序列选择说明"),
    "version": ("Version", "版本"),
    "waits": ("No result yet.", "尚无结果。"),
    "newer": ("There is a newer version of this screening.", "该筛查已有更新版本。"),
    "key_slices": ("slice by slice, ten at a time", "逐层，每次十层"),
    "key_window": ("lung, soft tissue, bone, liver", "肺、软组织、骨、肝窗"),
    "key_tools": ("scroll, window, measure", "翻页、调窗、测距"),
    "key_shown": ("boxes, outlines on and off", "显示或隐藏病灶框、轮廓"),
    "key_finding": ("next, previous lesion", "下一个、上一个病灶"),
    "key_plane": ("next plane large", "切换主平面"),
    "key_reset": ("reset, remove the last distance", "复位，删除上一条测距"),
    "key_back": ("back to the worklist", "返回工作列表"),
    "left": ("left", "左"),
    "right": ("right", "右"),
    "midline": ("midline", "中线"),
    # --- review
    "review": ("Review", "审阅"),
    "accept": ("Accept", "接受"),
    "reject": ("Reject", "拒绝"),
    "correct": ("Correct to", "更正为"),
    "undecided": ("undecided", "未定"),
    "comment": ("Comment", "备注"),
    "sign": ("Sign", "签署"),
    "save": ("Save draft", "保存草稿"),
    "begin_review": ("Begin review", "开始审阅"),
    "amend": ("Amend", "修订"),
    "signed_by": ("Signed by", "签署人"),
    "saved": ("Draft saved", "草稿已保存"),
    "to_undecided": (
        "Every check that shows something needs a decision.",
        "凡有提示的项目均需作出判断。",
    ),
    "begin_first": ("Begin the review first.", "请先开始审阅。"),
    "correct_lesion": ("Correct", "修改"),
    "add_lesion": ("Add a lesion here", "在此添加病灶"),
    "added": ("Added lesion", "新增病灶"),
    "remove": ("Remove", "删除"),
    "kind": ("Kind", "类型"),
    "long": ("Long", "长径"),
    "short": ("Short", "短径"),
    "stands": ("as found", "维持原判"),
    "fate_accepted": ("accepted", "已接受"),
    "fate_rejected": ("rejected", "已拒绝"),
    "fate_corrected": ("corrected", "已更正"),
    "lesions_corrected": ("Lesions corrected", "病灶已更正"),
    "take_back": (
        "Lesions were changed or added; take that back first.",
        "已修改或新增病灶，请先撤销。",
    ),
    "key_judge": (
        "accept, reject, correct the chosen lesion",
        "接受、拒绝、修改所选病灶",
    ),
    "key_add": (
        "add a lesion at the crosshair, remove the chosen one",
        "在十字线处添加病灶，删除所选新增病灶",
    ),
    # --- marks
    "your_marks": ("Your marks", "您的标记"),
    "marks_hidden": (
        "The findings are hidden until you have signed your own marks.",
        "签署您的标记之前，所有发现均不显示。",
    ),
    "marks_with_findings": (
        "This case is read with the findings; only what you mark counts.",
        "本例显示发现，但仅统计您的标记。",
    ),
    "hidden": (
        "The findings are hidden: you have yet to read this case.",
        "发现已隐藏：您尚未读完此例。",
    ),
    "mark_here": ("Mark at the crosshair", "在十字线处标记"),
    "no_marks": (
        "Nothing is marked; signed so, it says that nothing is there.",
        "尚无标记；此时签署即表示未见病灶。",
    ),
    "marked": ("Marked", "已标记"),
    "diameter": ("Diameter", "直径"),
    "sign_marks": ("Sign and compare", "签署并比对"),
    "sign_next": ("Sign, next case", "签署并读下一例"),
    "sign_stop": ("Sign and stop", "签署并暂停"),
    "key_mark": (
        "mark at the crosshair, remove the chosen mark",
        "在十字线处标记，删除所选标记",
    ),
    "to_mark": ("Studies to mark", "待标记检查"),
    "nothing_to_mark": ("Nothing is left to mark.", "没有待标记的检查。"),
    "begun": ("begun", "已开始"),
    "hit": ("hit", "命中"),
    "missed": ("missed", "漏检"),
    "false_mark": ("false mark", "误标"),
    "false_marks": ("false marks", "误标"),
    "sensitivity": ("sensitivity", "灵敏度"),
    "against_report": ("Compared with the final report.", "与最终报告比对。"),
    "against_checks": ("Compared with what the checks marked.", "与筛查标记比对。"),
    # --- reader studies
    "reader_studies": ("Reader studies", "阅片研究"),
    "no_reader_studies": ("There is no reader study yet.", "暂无阅片研究。"),
    "session": ("session", "第几轮"),
    "case": ("case", "病例"),
    "cases": ("cases", "病例数"),
    "readers": ("readers", "阅片者人数"),
    "next_case": ("Next case", "下一例"),
    "go_on": ("Go on with the case", "继续当前病例"),
    "clock_runs": ("Its clock is running.", "计时进行中。"),
    "clock_starts": ("The clock starts with the case.", "打开病例即开始计时。"),
    "washing_out": ("The second session opens on", "第二轮开放时间："),
    "all_read": ("You have read all cases.", "您已读完全部病例。"),
    "not_yours": ("You are not one of its readers.", "您不是该研究的阅片者。"),
    "read_of": ("read", "已读"),
    "reader": ("Reader", "阅片者"),
    "with_ai": ("with findings", "显示发现"),
    "without_ai": ("without", "不显示发现"),
    "findings_arm": ("Findings", "发现"),
    "readings": ("Readings", "阅片次数"),
    "median_seconds": ("Median time", "中位用时"),
    "export": ("Export as CSV", "导出 CSV"),
    "key_next_case": ("next case", "下一例"),
    # --- organs
    "spleen": ("spleen", "脾"),
    "kidney_right": ("right kidney", "右肾"),
    "kidney_left": ("left kidney", "左肾"),
    "gallbladder": ("gallbladder", "胆囊"),
    "liver": ("liver", "肝"),
    "stomach": ("stomach", "胃"),
    "pancreas": ("pancreas", "胰腺"),
    "aorta": ("aorta", "主动脉"),
    "lung_right": ("right lung", "右肺"),
    "lung_left": ("left lung", "左肺"),
    "heart": ("heart", "心脏"),
    "vertebrae": ("vertebrae", "椎体"),
    "other_bone": ("other bone", "其他骨"),
    "inferior_vena_cava": ("inferior vena cava", "下腔静脉"),
    # --- kinds
    "solid_nodule": ("solid nodule", "实性结节"),
    "part_solid_nodule": ("part-solid nodule", "部分实性结节"),
    "ground_glass_nodule": ("ground-glass nodule", "磨玻璃结节"),
    "calcified_nodule": ("calcified nodule", "钙化结节"),
    "blastic_metastasis": ("blastic metastasis", "成骨性转移"),
    "lytic_metastasis": ("lytic metastasis", "溶骨性转移"),
    "mixed_metastasis": ("mixed metastasis", "混合性转移"),
    "bone_island": ("bone island", "骨岛"),
    "haemangioma": ("haemangioma", "血管瘤"),
    "schmorl_node": ("Schmorl node", "许莫氏结节"),
    "endplate_sclerosis": ("endplate sclerosis", "终板硬化"),
    "fracture": ("fracture", "骨折"),
    # --- signing in
    "sign_in_first": ("Sign in to see studies.", "请登录后查看检查。"),
    "link_hint": (
        "Without an identity provider: the server prints a link for one sign-in when it starts.",
        "未配置身份提供方时，服务器启动时会打印一次性登录链接。",
    ),
    "problem": ("This cannot be shown", "无法显示"),
}


class Words:
    """The words of one language.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str) -> str:
        """Give a word that is known."""
        return _WORDS[key][self._place]

    def name(self, code: object) -> str:
        """Give the word of a code from a result; one that is not known is shown as it stands."""
        text = str(code)
        known = _WORDS.get(text)
        return known[self._place] if known else text.replace("_", " ")

    def of(self, text: Mapping[str, str] | None) -> str:
        """Choose from a text in both languages."""
        return (text or {}).get(self.language, "")


def choose_language(asked: str, kept: str, accepted: str) -> str:
    """Choose a language: what was clicked, what was clicked before, what the browser prefers.

    Parameters
    ----------
    accepted : str
        The header Accept-Language.
    """
    for said in (asked, kept):
        if said in LANGUAGES:
            return said
    best, best_quality = LANGUAGES[0], 0.0
    for item in accepted[:500].split(","):
        name, _, rest = item.strip().partition(";")
        code = name.split("-")[0].lower()
        try:
            quality = float(rest.partition("=")[2] or 1)
        except ValueError:
            quality = 0.0
        if code in LANGUAGES and quality > best_quality:
            best, best_quality = code, quality
    return best
