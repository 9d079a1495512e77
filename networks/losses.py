"""Losses of the segmentation networks.

The finest logits are compared with the labels voxel by voxel, coarser ones
with the share of each class in a block.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import (
    avg_pool3d,
    binary_cross_entropy_with_logits,
    cross_entropy,
    nll_loss,
    one_hot,
)

PRESENT_VOXELS = 1.0
"""A class with a smaller share of the patch than this (grid voxels) gets no Dice term."""

WEIGHT_CAP = 10.0
"""Largest class weight; rarer classes would otherwise drown the rest in noise."""

SIDE_WEIGHTS = (0.3, 0.2)
"""Weights of the losses at 1/4 and 1/8 of the resolution."""


def class_weights(counts: Tensor) -> Tensor:
    """Weigh classes by the inverse square root of their frequency.

    Parameters
    ----------
    counts : (K,) tensor
        Voxels of each class in the training population; zero counts as one.

    Returns
    -------
    (K,) float tensor
        1 for the commonest class, at most `WEIGHT_CAP`.
    """
    counts = counts.double().clamp(min=1.0)
    return (counts.max() / counts).sqrt().clamp(max=WEIGHT_CAP).float()


def soft_targets(labels: Tensor, classes: int) -> Tensor:
    """Share of each class in every 2×2×2 block.

    Parameters
    ----------
    labels : (N, D, H, W) tensor of integers
        Class of each voxel; even D, H and W.
    classes : int
        Number of classes K.

    Returns
    -------
    (N, K, D/2, H/2, W/2) float tensor
        Multiples of 1/8, summing to one over K.
    """
    n, d, h, w = labels.shape
    half = (d // 2, h // 2, w // 2)
    blocks = labels.long().reshape(n, half[0], 2, half[1], 2, half[2], 2)
    blocks = blocks.permute(2, 4, 6, 0, 1, 3, 5).reshape(8, n, 1, *half)
    shares = torch.zeros(n, classes, *half, device=labels.device)
    eighth = torch.full((n, 1, *half), 0.125, device=labels.device)
    for corner in blocks:
        shares.scatter_add_(1, corner, eighth)
    return shares


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy against soft targets, normalised by the weight present.

    Parameters
    ----------
    logits, target : (N, K, …) tensor
    weights : (K,) tensor
    """
    weighted = target * weights.reshape(1, -1, *[1] * (target.ndim - 2))
    return -(weighted * torch.log_softmax(logits, 1)).sum() / weighted.sum()


def present_dice(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the mean soft Dice of the foreground classes that are present.

    An absent class has no term: its Dice has no gradient worth following, and
    its false positives are the cross-entropy's business.

    Parameters
    ----------
    logits, target : (N, K, …) tensor

    Returns
    -------
    scalar tensor
        0 when nothing but background is present.
    """
    axes = tuple(range(2, logits.ndim))
    probability = torch.softmax(logits, 1)
    overlap = (probability * target).sum(axes)[:, 1:]
    total = (probability.sum(axes) + target.sum(axes))[:, 1:]
    present = target.sum(axes)[:, 1:] >= PRESENT_VOXELS
    if not bool(present.any()):
        return logits.sum() * 0.0
    return 1.0 - (2.0 * overlap / total)[present].mean()


def voxel_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy plus the Dice of `present_dice`, against one label a voxel.

    Parameters
    ----------
    logits : (N, K, D, H, W) float tensor
    labels : (N, D, H, W) tensor of integers
    weights : (K,) tensor
    """
    classes = weights.numel()
    target = labels.long()
    likelihood = torch.log_softmax(logits, 1)
    entropy = nll_loss(likelihood, target, weight=weights)
    dice = []
    for probability, truth in zip(likelihood.exp(), target, strict=True):
        right = probability.gather(0, truth[None]).flatten()
        flat = truth.flatten()
        overlap = right.new_zeros(classes).index_add(0, flat, right)[1:]
        held = torch.bincount(flat, minlength=classes)[1:]
        total = probability.sum((1, 2, 3))[1:] + held
        dice.append((2.0 * overlap / total)[held >= PRESENT_VOXELS])
    found = torch.cat(dice)
    return entropy + (1.0 - found.mean() if found.numel() else 0.0)


def segmentation_loss(levels: list[Tensor], labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy and Dice voxel by voxel, with weaker ones on coarser grids.

    Parameters
    ----------
    levels : list of tensor
        Logits of `networks.unet.UNet.supervised`: (N, K, D, H, W), then
        (N, K, D/2ⁱ, H/2ⁱ, W/2ⁱ) for i = 2, 3.
    labels : (N, D, H, W) tensor of integers
    weights : (K,) tensor
        See `class_weights`.
    """
    loss = voxel_loss(levels[0].float(), labels, weights)
    target = soft_targets(labels, weights.numel())
    for logits, weight in zip(levels[1:], SIDE_WEIGHTS, strict=True):
        target = avg_pool3d(target, 2)
        coarse = logits.float()
        term = weighted_cross_entropy(coarse, target, weights) + present_dice(coarse, target)
        loss = loss + weight * term
    return loss


def level_loss(levels: list[Tensor], labels: Tensor, weights: Tensor) -> Tensor:
    """Do as `segmentation_loss` for levels of any stride.

    Parameters
    ----------
    levels : list of tensor
        Logits (N, K, D, H, W), then (N, K, D/a, H/b, W/c) of coarser levels, finest first.
    labels : (N, D, H, W) tensor of integers
    weights : (K,) tensor
    """
    loss = voxel_loss(levels[0].float(), labels, weights)
    if len(levels) == 1:
        return loss
    share = one_hot(labels.long(), weights.numel()).movedim(-1, 1).float()
    for logits, weight in zip(levels[1:], SIDE_WEIGHTS):
        block = [fine // coarse for fine, coarse in zip(share.shape[2:], logits.shape[2:])]
        share = avg_pool3d(share, block)
        coarse = logits.float()
        term = weighted_cross_entropy(coarse, share, weights) + present_dice(coarse, share)
        loss = loss + weight * term
    return loss


def patient_loss(logits: Tensor, ill: Tensor) -> Tensor:
    """Cross-entropy of the patient's logit.

    Parameters
    ----------
    logits : (N,) tensor
    ill : (N,) tensor
        1 or 0; what is negative has no say.
    """
    known = ill >= 0
    if not bool(known.any()):
        return logits.float().sum() * 0.0
    return binary_cross_entropy_with_logits(logits.float()[known], ill.float()[known])


def kind_loss(logits: Tensor, kind: Tensor) -> Tensor:
    """Cross-entropy of the kind of lesion.

    Parameters
    ----------
    logits : (N, kinds) tensor
    kind : (N,) tensor of integers
        −1 where there is none.
    """
    if not bool((kind >= 0).any()):
        return logits.float().sum() * 0.0
    return cross_entropy(logits.float(), kind.long(), ignore_index=-1)
