"""Bring a network in: read it, hold it to its manifest, try it out, install it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from gateway.exceptions import NetworkRefusedError
from gateway.triton.repository import model_digest, verify
from networks.bring.brought import Brought
from networks.bring.bundle import is_bundle, read_bundle
from networks.bring.card import card
from networks.bring.config import ensemble_config, network_config
from networks.bring.contract import fit, output_names
from networks.bring.install import check_free, install, staging
from networks.bring.nnunet import is_nnunet, read_nnunet
from networks.bring.onnx_file import read_onnx
from networks.bring.phantom import try_out
from networks.bring.pipeline import ENDING, read_check, read_text


def read_network(path: Path, *, allow_code: bool = False) -> Brought:
    """Read a network of others: an ONNX file, a MONAI bundle or an nnU-Net v2 folder.

    Raises
    ------
    NetworkRefusedError
        When it is none of these, or not whole.
    NetworkCodeError
        When it can run code and `allow_code` is not set.
    """
    if path.is_dir():
        if is_nnunet(path):
            return read_nnunet(path, allow_code=allow_code)
        if is_bundle(path):
            return read_bundle(path, allow_code=allow_code)
        raise NetworkRefusedError(
            f"{path} is neither a MONAI bundle (configs/metadata.json) nor an nnU-Net v2 folder"
            " (plans.json, dataset.json)."
        )
    if path.suffix != ".onnx":
        raise NetworkRefusedError(f"{path} is no .onnx file; checkpoints come with their folder.")
    return Brought(model=read_onnx(path), source=f"the ONNX file {path.name}")


def bring(
    path: Path, pipeline: Path, repository: Path, *, name: str = "", allow_code: bool = False
) -> dict[str, Any]:
    """Check a network and install it with its ensemble and its manifest.

    Parameters
    ----------
    path : Path
        Of the network.
    pipeline : Path
        Its pipeline.toml.
    repository : Path
        A model repository with anatomy; it is changed when all is well, and only then.
    name : str
        Of the check, in place of the manifest's.
    allow_code : bool
        Whether files may be loaded that can run code.

    Returns
    -------
    dict
        ``check``, ``models``, ``source``, ``digest``, ``phantom`` and ``notes``.

    Raises
    ------
    NetworkRefusedError
        Naming what does not fit.
    """
    check, text = read_text(pipeline, name)
    network = f"{check}{ENDING}"
    with staging(repository) as staged:
        check_free(repository, network, check)
        (staged / check / "1").mkdir(parents=True)
        (staged / check / "1" / ".gitkeep").touch()
        (staged / check / "pipeline.toml").write_text(text, encoding="utf-8")
        manifest, recipe = read_check(staged / check, repository)
        brought = read_network(path, allow_code=allow_code)
        model = fit(brought, manifest, recipe)
        phantom = try_out(model, manifest, recipe)
        file = staged / network / "1" / "model.onnx"
        file.parent.mkdir(parents=True)
        onnx.save(model, str(file))
        digest = model_digest(file)
        files = {
            f"{network}/config.pbtxt": network_config(network, model, recipe),
            f"{network}/README.md": card(
                network, manifest, source=brought.source, digest=digest, phantom=phantom,
                notes=brought.notes,
            ),
            f"{check}/config.pbtxt": ensemble_config(manifest, network, output_names(recipe)),
        }  # fmt: skip
        for place, content in files.items():
            (staged / place).write_text(content, encoding="utf-8")
        for step in ("ct_preprocess", "ct_postprocess"):
            if not (repository / step).is_dir():
                raise NetworkRefusedError(f"The repository has no {step}, which every check asks.")
        problems = {k: v for k, v in verify(staged).items() if k == network}
        if problems:
            raise NetworkRefusedError(f"{network}: {problems[network][0]}.")
        install(staged, repository, network, check)
    return {
        "check": check,
        "models": [check, network],
        "source": brought.source,
        "digest": digest,
        "phantom": phantom,
        "notes": brought.notes,
    }
