"""Networks of a few lines that keep the contract of the trained ones: what is where, by HU."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import parser

PANCREAS = """
<ir_version: 8, opset_import: ["" : 17]>
pancreas (float[N, 2, D, H, W] volume) => (
  uint8[N, D, H, W] labels, uint8[N, D, H, W] lesion, float[N, 1] score, float[N, 8] kinds
)
<
  float gland_from = {0.4}, float lesion_from = {0.55}, float full = {255.0},
  int64[1] one = {1}, float[1, 8] known = {0.5, 0.3, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0}
>
{
  soft, own = Split<axis = 1>(volume)
  is_gland = GreaterOrEqual(soft, gland_from)
  is_lesion = GreaterOrEqual(soft, lesion_from)
  gland = Cast<to = 1>(is_gland)
  tumour = Cast<to = 1>(is_lesion)
  both = Add(gland, tumour)
  flat = Squeeze(both, one)
  labels = Cast<to = 2>(flat)
  warm = Mul(tumour, full)
  heat = Squeeze(warm, one)
  lesion = Cast<to = 2>(heat)
  most = ReduceMax<axes = [2, 3, 4], keepdims = 0>(tumour)
  score = Identity(most)
  nothing = Sub(score, score)
  kinds = Add(nothing, known)
}
"""
"""From 0 HU on gland, from 60 HU on lesion; the patient is ill where there is any."""

CALCIUM = """
<ir_version: 8, opset_import: ["" : 17]>
calcium (float[N, 2, D, H, W] volume) => (uint8[N, D, H, W] labels)
<float lad = {3.0}, float heart = {1.0}, float blood = {0.42}, int64[1] one = {1}>
{
  soft, dense = Split<axis = 1>(volume)
  is_heart = GreaterOrEqual(soft, blood)
  inside = Where(is_heart, lad, heart)
  flat = Squeeze(inside, one)
  labels = Cast<to = 2>(flat)
}
"""
"""From 8 HU on the territory of the LAD, else heart."""

LIVER = """
<ir_version: 8, opset_import: ["" : 17]>
liver (float[N, 2, D, H, W] volume, float[N, 8] clinical, int64[N, 256] tokens) => (
  float[N, 3] steatosis, float[N, 4] fibrosis, float[N, 2] scores
)
<
  int64[1] first = {0}, int64[1] third = {3}, int64[1] seventh = {7}, int64[1] one = {1},
  int64 none = {0}
>
{
  missing = IsNaN(clinical)
  known = Cast<to = 1>(missing)
  steatosis = Slice(known, first, third, one)
  fibrosis = Slice(known, third, seventh, one)
  said = Greater(tokens, none)
  words = Cast<to = 1>(said)
  count = ReduceSum<keepdims = 1>(words, one)
  brightness = ReduceMean<axes = [1, 2, 3, 4], keepdims = 0>(volume)
  bright = Unsqueeze(brightness, one)
  scores = Concat<axis = 1>(count, bright)
}
"""
"""Says which values are missing, how many tokens there are, and how bright the windows are."""

CHEST = """
<ir_version: 8, opset_import: ["" : 17]>
chest (float[n, 1, d, h, w] volume, float16[b, 64] bank, uint8[b, 73] bank_labels) => (
  float[n, 73] labels, int64[n, 73] where, float[n, 3, 73] parts, int64[n, 256] kept,
  float[n, 256] worth, float[n, 256, 64] embedded
)
<
  int64[2] flat = {1, -1}, int64[2] all_labels = {1, 73}, int64[3] all_parts = {1, 3, 73},
  int64[2] all_kept = {1, 256}, int64[3] all_embedded = {1, 256, 64},
  float[1, 1] none = {-1.0}, float[1, 1] zero = {0.0}, int64[1, 1] first = {0}
>
{
  means = AveragePool<kernel_shape = [16, 16, 16], strides = [16, 16, 16]>(volume)
  tiles = Reshape(means, flat)
  brightest = ReduceMax<axes = [1], keepdims = 1>(tiles)
  place = ArgMax<axis = 1, keepdims = 1>(tiles)
  where = Expand(place, all_labels)
  counted = Cast<to = 1>(bank_labels)
  most = ReduceMax<axes = [0], keepdims = 1>(counted)
  held = Greater(most, zero)
  labels = Where(held, brightest, none)
  parts = Expand(zero, all_parts)
  kept = Expand(first, all_kept)
  worth = Expand(zero, all_kept)
  vectors = Cast<to = 1>(bank)
  middle = ReduceMean<axes = [0], keepdims = 1>(vectors)
  embedded = Expand(middle, all_embedded)
}
"""
"""Each label that a tile of the bank has is as probable as the brightest tile is bright, and lies
there; any other is not evaluated."""


def write_net(text: str, path: Path) -> None:
    """Write one of them as an ONNX file."""
    model = parser.parse_model(text)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
