"""The label values of the anatomy network, in one place for training, export and serving.

The index of a name is its label value; ``model_repository/anatomy_net/labels.txt`` is this list.
Discs, costal cartilage, the renal sinus and iliac vessels belong to no label;
the sacrum belongs to ``vertebrae``; the vessels inside a lung or the liver belong to that organ.
"""

from __future__ import annotations

ANATOMY_LABELS: tuple[str, ...] = (
    "background",
    "spleen",
    "kidney_right",
    "kidney_left",
    "gallbladder",
    "liver",
    "stomach",
    "pancreas",
    "aorta",
    "lung_right",
    "lung_left",
    "heart",
    "vertebrae",
    "other_bone",
    "inferior_vena_cava",
)
"""Names by label value, 0 to 14."""


def label_value(name: str) -> int:
    """Return the label value of an organ name; ValueError when there is none."""
    return ANATOMY_LABELS.index(name)
