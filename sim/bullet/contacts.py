"""What may touch what, and how rough it is, as MuJoCo says it and as Bullet understands it.

In MuJoCo a geom carries its contact bits and its friction, in Bullet a link does. Geoms of a body that differ in them
therefore become links of their own (`groups`). MuJoCo takes the larger friction of a pair, Bullet the product:
`friction` finds the coefficients whose products come nearest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

_SMALLEST = 1e-3  # friction below this counts as this: the fit is one of logarithms
_FREE = int(mujoco.mjtJoint.mjJNT_FREE)


@dataclass(frozen=True)
class Group:
    """Geoms of one body that collide alike, and so share a link."""

    body: int
    geoms: tuple[int, ...]


def groups(model: mujoco.MjModel) -> dict[int, list[Group]]:
    """Body -> its groups, the one with most geoms first. Geoms that touch nothing are in none."""
    paired = {int(g) for g in np.concatenate([model.pair_geom1, model.pair_geom2])}
    found: dict[int, dict[tuple, list[int]]] = defaultdict(lambda: defaultdict(list))
    for g in range(model.ngeom):
        bits = (int(model.geom_contype[g]), int(model.geom_conaffinity[g]))
        if any(bits) or g in paired:
            kind = int(model.geom_condim[g]), int(model.geom_priority[g])
            key = (*bits, *kind, *model.geom_friction[g].tolist(), g if g in paired else -1)
            found[int(model.geom_bodyid[g])][key].append(g)
    return {body: [Group(body, tuple(geoms)) for geoms in sorted(kinds.values(), key=len, reverse=True)] for body, kinds in found.items()}


def touching(model: mujoco.MjModel, first: Group, second: Group) -> bool:
    """MuJoCo's rule: contact bits, not within one rigid piece, not parent and child (but any with the fixed world), no `exclude`."""
    if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CONTACT:
        return False
    g1, g2 = first.geoms[0], second.geoms[0]
    if any({int(a), int(b)} == {g1, g2} for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True)):
        return True
    if not (model.geom_contype[g1] & model.geom_conaffinity[g2] or model.geom_contype[g2] & model.geom_conaffinity[g1]):
        return False
    low, high = sorted((first.body, second.body))
    if (low << 16) + high in model.exclude_signature:
        return False
    w1, w2 = int(model.body_weldid[first.body]), int(model.body_weldid[second.body])
    if w1 == w2:
        return False
    if w1 == 0 or w2 == 0 or model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT:
        return True
    return w1 != model.body_weldid[model.body_parentid[w2]] and w2 != model.body_weldid[model.body_parentid[w1]]


def still(model: mujoco.MjModel, body: int) -> bool:
    """Nothing but us moves this body: it hangs on no joint."""
    while body:
        if model.body_jntnum[body]:
            return False
        body = int(model.body_parentid[body])
    return True


def pairs(model: mujoco.MjModel, of: Sequence[Group]) -> list[tuple[int, int]]:
    """Indices of the groups that collide with each other; two that nothing moves never do."""
    rests = [still(model, group.body) for group in of]
    return [(i, j) for i in range(len(of)) for j in range(i + 1, len(of)) if not (rests[i] and rests[j]) and touching(model, of[i], of[j])]


def friction(model: mujoco.MjModel, values: np.ndarray, of: Sequence[Group], touch: Sequence[tuple[int, int]]) -> np.ndarray:
    """(len(of), 3) sliding, spinning and rolling coefficients for Bullet; values: geom_friction (ngeom, 3) of one simulation.

    Bullet slides with a_i a_j and spins or rolls with s_i a_j + s_j a_i; MuJoCo with the values of the geom of higher
    priority, else with the larger ones, torsion only from condim 4 on, rolling only with 6. Pairs with a body that moves freely
    weigh ten times as much.
    """
    if not touch:
        return np.zeros((len(of), 3))
    own = np.array([[values[list(g.geoms), k].max() for k in range(3)] for g in of])
    condim, priority = (np.array([field[g.geoms[0]] for g in of]) for field in (model.geom_condim, model.geom_priority))
    free = np.array([_moves_freely(model, g.body) for g in of])
    i, j = np.array(touch).T
    weight = np.where(free[i] | free[j], 10.0, 1.0)
    before, after = priority[i] > priority[j], priority[i] < priority[j]
    wanted = np.where(before[:, None], own[i], np.where(after[:, None], own[j], np.maximum(own[i], own[j])))
    most = np.where(before, condim[i], np.where(after, condim[j], np.maximum(condim[i], condim[j])))
    wanted[:, 1] *= most >= 4
    wanted[:, 2] *= most >= 6
    rows = np.arange(len(i))
    system = np.zeros((len(i), len(of)))
    system[rows, i], system[rows, j] = weight, weight
    slide = np.exp(np.linalg.lstsq(system, weight * np.log(np.maximum(wanted[:, 0], _SMALLEST)), rcond=None)[0])
    system[rows, i], system[rows, j] = weight * slide[j], weight * slide[i]
    rest = np.linalg.lstsq(system, weight[:, None] * wanted[:, 1:], rcond=None)[0]
    return np.concatenate([slide[:, None], np.maximum(rest, 0.0)], 1)


def _moves_freely(model: mujoco.MjModel, body: int) -> bool:
    joint = model.body_jntadr[model.body_rootid[body]]
    return bool(joint >= 0 and model.jnt_type[joint] == _FREE)
