"""The one list of reasons why a check has no plain answer.

A reason stands beside the states ``indeterminate``, ``not_evaluated`` and ``failed``
and is shown as ``not_evaluated: contrast``. Codes are stable; sentences may be improved.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.exceptions import (
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
    SeriesError,
    StubDiedError,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code and what a reader is told."""

    code: str
    en: str
    zh: str


_ALL = (
    # --- the study and its series
    Reason(
        "no_suitable_series",
        "No series of the study is fit for this check.",
        "该检查中没有适用于本项筛查的序列。",
    ),
    Reason(
        "identity_conflict",
        "The study holds images of more than one patient.",
        "该检查包含不止一位患者的图像。",
    ),
    Reason(
        "only_results",
        "The study holds nothing but results of this server.",
        "该检查仅含本系统生成的结果。",
    ),
    Reason(
        "wrong_modality",
        "The study holds no series of this check's modality.",
        "该检查不含本项筛查所需模态的序列。",
    ),
    Reason(
        "secondary_capture",
        "The images are secondary captures, not acquired ones.",
        "图像为二次采集,并非原始采集图像。",
    ),
    Reason("localizer", "The study holds only localizers.", "该检查仅含定位像。"),
    Reason(
        "unsupported_transfer_syntax",
        "The transfer syntax of the series has no decoder here.",
        "序列的传输语法在此无法解码。",
    ),
    Reason(
        "lossy_compression",
        "Lossy compression changes what would be measured.",
        "有损压缩会改变待测数值,不予测量。",
    ),
    Reason(
        "missing_attribute",
        "An attribute that geometry or pixel values need is missing.",
        "缺少几何或像素值所需的属性。",
    ),
    Reason("zero_rescale_slope", "Rescale Slope is zero.", "重定标斜率为零。"),
    Reason("too_few_slices", "The series has too few slices.", "序列层数过少。"),
    Reason("missing_slices", "Slices are missing from the series.", "序列缺层。"),
    Reason(
        "duplicate_slices",
        "Two slices of the series lie at the same place.",
        "序列中有位置重复的断层。",
    ),
    Reason(
        "mixed_orientation",
        "Slices of the series have different orientations.",
        "序列中各层方向不一致。",
    ),
    Reason(
        "mixed_geometry",
        "Slices of the series have different sizes or spacings.",
        "序列中各层尺寸或间距不一致。",
    ),
    Reason("tilt_too_large", "The gantry tilt is too large.", "机架倾角过大。"),
    Reason("pixel_data", "An image cannot be decoded.", "有图像无法解码。"),
    Reason(
        "air_out_of_range",
        "Air is not near -1000 HU, so HU cannot be trusted.",
        "空气CT值偏离-1000 HU,CT值不可信。",
    ),
    Reason(
        "invalid_geometry",
        "Position or orientation of the slices make no sense.",
        "断层的位置或方向信息无效。",
    ),
    Reason("not_axial", "No series is axial.", "没有轴位序列。"),
    Reason(
        "slice_thickness", "The slices are too thick for this check.", "层厚过大,不适用于本项筛查。"
    ),
    Reason("kernel", "The kernel is too sharp to measure HU.", "重建核过锐,不宜测量CT值。"),
    Reason("derived", "The series is derived from another one.", "该序列由其他序列衍生。"),
    Reason("body_part", "The image is of another part of the body.", "图像并非本项筛查所需部位。"),
    Reason("side", "The image is of the other side.", "图像并非本项筛查所需侧别。"),
    # --- the patient
    Reason("age_under_18", "The patient is younger than 18.", "患者未满18岁。"),
    Reason(
        "age_over_limit",
        "The patient is older than this check allows.",
        "患者年龄超出本项筛查上限。",
    ),
    Reason("age_unknown", "The patient's age is not known.", "患者年龄不详。"),
    Reason("sex_unknown", "The patient's sex is not known.", "患者性别不详。"),
    # --- the scan
    Reason("contrast", "The scan is contrast-enhanced.", "该扫描为增强扫描。"),
    Reason(
        "phase_unknown",
        "Too little was seen to tell whether the scan is native.",
        "可见结构不足,无法判断是否为平扫。",
    ),
    Reason("organ_absent", "The organ is outside the scan.", "该器官不在扫描范围内。"),
    Reason("truncated", "The scan cuts the organ off.", "扫描范围未完整包含该器官。"),
    Reason(
        "weights_not_accepted",
        "Nothing was flagged, but the weights missed their acceptance: they may not say negative.",
        "未见阳性,但模型权重未达到验收标准,不得判为阴性。",
    ),
    Reason(
        "too_little_tissue", "Too little of the organ can be measured.", "可测量的器官组织过少。"
    ),
    Reason(
        "orientation_conflict",
        "Organs lie on the other side than the header says.",
        "器官左右位置与图像头信息不符。",
    ),
    Reason("kvp", "The rule holds at 120 kVp only.", "该规则仅适用于120 kVp。"),
    Reason(
        "iron_or_amiodarone",
        "The liver is denser than fat can explain: iron, amiodarone or contrast.",
        "肝脏密度异常增高:铁沉积、胺碘酮或对比剂可能。",
    ),
    Reason(
        "metal",
        "Metal lies where it would be measured.",
        "待测部位存在金属。",
    ),
    Reason(
        "mirrored_image",
        "The image looks like one of the other side, or like a mirror image.",
        "图像疑为对侧或镜像图像。",
    ),
    Reason(
        "unfit_image",
        "The image does not look like what this check reads.",
        "图像内容不符合本项筛查的要求。",
    ),
    Reason(
        "out_of_range",
        "It lies at an end of the range that can be measured.",
        "测量值处于可测范围的边界。",
    ),
    Reason(
        "no_reference",
        "It was measured; nothing here says whether that is normal.",
        "已完成测量;系统未内置判定正常与否的参考标准。",
    ),
    # --- the service
    Reason(
        "no_check_installed",
        "No check is installed for this kind of image.",
        "未安装适用于此类图像的筛查项目。",
    ),
    Reason(
        "not_installed",
        "This check is not installed any more.",
        "该筛查项目已不再安装。",
    ),
    Reason(
        "no_reference_weights",
        "No weights are installed for this check.",
        "未安装该筛查项目的模型权重。",
    ),
    Reason(
        "random_weights",
        "The installed weights are random: they are for load and speed alone.",
        "已安装的模型权重为随机值,仅用于负载和速度测试。",
    ),
    Reason(
        "not_fetched", "The study could not be fetched from its source.", "未能从来源获取该检查。"
    ),
    Reason("timeout", "The check did not end in time.", "该项筛查超时。"),
    Reason("crashed", "The screening crashed and was not tried again.", "筛查进程崩溃,不再重试。"),
    Reason("cancelled", "The screening was cancelled.", "该筛查已被取消。"),
    Reason("model_failed", "The model did not answer as it should.", "模型未正常返回结果。"),
    Reason("model_unavailable", "The model is not ready.", "模型尚未就绪。"),
    Reason("internal", "The check failed for a reason of ours.", "该项筛查因内部错误失败。"),
    # --- the reader
    Reason("reader_undecided", "The reader could not decide.", "阅片者无法判定。"),
)

REASONS: dict[str, Reason] = {reason.code: reason for reason in _ALL}
"""Code → reason."""

_SERIES_CODES = {
    "series.none_suitable": "no_suitable_series",
    "series.patient_too_young": "age_under_18",
    "series.invalid": "no_suitable_series",
}
"""Series refusals whose reason is not simply the last word of their code."""

_NOT_A_CANDIDATE = frozenset({"localizer", "secondary_capture", "wrong_modality", "derived"})
"""Refusals that say that a series was never meant to be measured."""


def reason_of_series_code(code: str) -> str:
    """Map the code of a series refusal (``series.missing_slices``) to a reason code."""
    if code in _SERIES_CODES:
        return _SERIES_CODES[code]
    short = code.removeprefix("series.")
    return short if short in REASONS else "no_suitable_series"


def reason_of_error(error: BaseException) -> str:
    """Map what a check or a stage raised to a reason code."""
    if isinstance(error, SeriesError):
        return reason_of_series_code(error.code)
    if isinstance(error, (TimeoutError, ModelTimeoutError)):
        return "timeout"
    if isinstance(error, StubDiedError):
        return "crashed"
    if isinstance(error, ModelUnavailableError):
        return "model_unavailable"
    return "model_failed" if isinstance(error, ModelError) else "internal"


def reason_of_refusals(codes: list[str]) -> str:
    """Say in one reason why none of several series was chosen.

    Localizers and screenshots count only where there is nothing else; several different
    causes are ``no_suitable_series``.
    """
    reasons = {reason_of_series_code(code) for code in codes}
    candidates = reasons - _NOT_A_CANDIDATE or reasons
    return next(iter(candidates)) if len(candidates) == 1 else "no_suitable_series"
