"""The model card that a network begins with: what is known of it, and what its owner has to add."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.screening.manifest import Manifest


def card(
    network: str,
    manifest: Manifest,
    *,
    source: str,
    digest: str,
    phantom: str,
    notes: Sequence[str],
) -> str:
    """Return it as Markdown; origin, licence and references are pipeline.toml's."""
    known = manifest.provenance
    lines = [
        f"# {network}", "", f"Network of the check `{manifest.name}` {manifest.version}.", "",
        "## What it is", "", manifest.intended_use.en, "",
        f"- Made of: {source}.",
        f"- Origin: {known['origin']}.",
        f"- Licence: {known['licence']}.",
        *([f"- Training: {known['training']}."] if known.get("training") else []),
        f"- `{network}/1/model.onnx`, SHA-256 `{digest}`.",
        "- Tensors: `config.pbtxt`; grid and windows: `[recipe]` of `pipeline.toml`.", "",
        "## Figures", "",
        "None yet. What it was tried on when it came in says only that it runs: a region of a"
        f" phantom, {phantom}",
        "`onescan calibrate` sets its thresholds on negative studies of a site.", "",
        *(["## Notes", "", *(f"- {note}" for note in notes), ""] if notes else []),
        *(["## References", "", *(f"- {one}" for one in known["references"]), ""]
          if known.get("references") else []),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"
