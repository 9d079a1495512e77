"""The heart's surface in its own directions, and the way over it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.canvas import rotation
from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

Points = npt.NDArray[np.float64]

HEART = (Tissue.RIGHT_HEART, Tissue.LEFT_HEART, Tissue.MYOCARDIUM)

GREAT_VESSELS = (
    Tissue.AORTA,
    Tissue.PULMONARY_ARTERY,
    Tissue.CENTRAL_VEIN,
    Tissue.INFERIOR_VENA_CAVA,
)

FAT = (Tissue.PERICARDIAL_FAT, Tissue.MEDIASTINAL_FAT)

LONG_AXIS = (-0.42, -0.5, 0.76)
"""Direction (z, y, x) from the heart's base to its apex, as `networks.phantoms.chest` draws it."""

ROOT_WITHIN_MM = 28.0
"""The aortic root lies at most this far behind the heart's middle; the descending aorta farther."""

LEAST_HEART_MM3 = 150e3
"""Of a smaller piece of heart in view no courses are drawn."""


class HeartFrame:
    """The heart's surface, directions and neighbours of one patient.

    Parameters
    ----------
    scene : Scene
        The patient.

    Attributes
    ----------
    centre_mm : (3,) ndarray
        Middle of the heart, LPS mm (z, y, x).
    along, front, left : (3,) ndarray
        Unit vectors: from base to apex; across it, to the front and up; across both, to the left
        and back.
    base, apex : float
        Ends of the heart along `along`, mm from the middle.

    Raises
    ------
    NoPlaceError
        When the heart is not in view.
    """

    MARGIN_MM = 24.0

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        mask = scene.tissue(*HEART)
        step = scene.spacing_mm
        box = ndimage.find_objects(mask.astype(np.uint8))
        if not box or box[0] is None or mask.sum() * step**3 < LEAST_HEART_MM3:
            raise NoPlaceError("the heart is not in view")
        margin = int(np.ceil(self.MARGIN_MM / step))
        self._part = tuple(
            slice(max(s.start - margin, 0), min(s.stop + margin, n))
            for s, n in zip(box[0], mask.shape, strict=True)
        )
        self._origin = scene.origin_mm + np.array([s.start for s in self._part]) * step
        self._labels = scene.anatomy.labels[self._part]
        self._heart = self._signed(HEART)
        self._solid = self._signed((*HEART, *GREAT_VESSELS))
        self._soft = self._signed((*HEART, *GREAT_VESSELS, *FAT))
        self._slope = [g.astype(np.float32) / np.float32(step) for g in np.gradient(self._solid)]
        places = self._places(HEART)
        self.centre_mm = places.mean(axis=0)
        turn = rotation(*scene.anatomy.patient.organ_rotation_degrees["heart"])
        self.along = np.asarray(LONG_AXIS) @ turn
        self.along /= np.linalg.norm(self.along)
        front = np.array([0.55, -0.75, 0.15]) @ turn
        front -= self.along * (front @ self.along)
        self.front = front / np.linalg.norm(front)
        self.left = np.cross(self.along, self.front)
        self.base, self.apex = np.quantile((places - self.centre_mm) @ self.along, [0.01, 0.995])

    def _signed(self, tissues: tuple[Tissue, ...]) -> FloatArray:
        """Return the distance from the surface of some tissues, mm, negative inside."""
        inside = np.isin(self._labels, tissues)
        away = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
        return ndimage.gaussian_filter((away * self.scene.spacing_mm).astype(np.float32), 0.8)

    def _places(self, tissues: tuple[Tissue, ...]) -> Points:
        places = np.argwhere(np.isin(self._labels, tissues)) * self.scene.spacing_mm
        return self._origin + places

    def _at(self, values: FloatArray, points: Points) -> npt.NDArray[np.float64]:
        index = ((points - self._origin) / self.scene.spacing_mm).T
        sampled: npt.NDArray[np.float64] = ndimage.map_coordinates(
            values, index, order=1, mode="nearest", output=np.float64
        )
        return sampled

    def distance_mm(self, points: Points) -> npt.NDArray[np.float64]:
        """Return the distance of (n, 3) points from the heart muscle, negative inside."""
        return self._at(self._heart, points)

    def distance_on(self, grid: FineGrid) -> FloatArray:
        """Return the distance from the heart muscle on a fine grid, mm."""
        s, r, c = (int(part.start) for part in self._part)
        return self.scene.sampled_on(grid, self._heart, (s, r, c))

    def surface(self, share: float, degrees: float) -> Points:
        """Return a point on the heart muscle.

        Parameters
        ----------
        share : float
            Along the long axis, 0 at the base and 1 at the apex.
        degrees : float
            Around it: 0 in front and above, 90 to the left and behind.
        """
        angle = np.deg2rad(degrees)
        out = np.cos(angle) * self.front + np.sin(angle) * self.left
        axis = self.centre_mm + (self.base + share * (self.apex - self.base)) * self.along
        t = np.arange(0, 110, 0.5)
        inside = self.distance_mm(axis + t[:, None] * out) < 0
        last = t[np.flatnonzero(inside)[-1]] if inside.any() else 20.0
        return axis + last * out

    def root_mm(self) -> Points:
        """Return where the ascending aorta leaves the heart, the middle of its section there."""
        aorta = np.isin(self._labels, [Tissue.AORTA])
        y = self._origin[1] + self.scene.spacing_mm * np.arange(aorta.shape[1])
        aorta &= (y < self.centre_mm[1] + ROOT_WITHIN_MM)[None, :, None]
        rim = ndimage.binary_dilation(aorta, iterations=2) & ~aorta
        heart = np.isin(self._labels, HEART)
        around = rim.sum(axis=(1, 2))
        held = (rim & heart).sum(axis=(1, 2)) / np.maximum(around, 1)
        levels = np.flatnonzero((held > 0.35) & aorta.any(axis=(1, 2)))
        if not levels.size:
            return self.surface(0.2, 0.0)
        places = np.argwhere(aorta[levels[-1]]).mean(axis=0)
        root = np.array([levels[-1], *places]) * self.scene.spacing_mm
        return np.asarray(self._origin + root)

    def over(self, points: Points) -> Points:
        """Move a path to where an artery would run: on the heart and the great vessels, in fat.

        Where fat is thick the path lies above the muscle, where there is none beneath its
        surface, in the groove that the artery will get.
        """
        path = np.asarray(points, np.float64)
        for turn in range(14):
            normal = np.stack([self._at(g, path) for g in self._slope], axis=-1)
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 0.2)
            distance = self._at(self._solid, path)
            fat = np.maximum(-self._at(self._soft, path) + distance, 0)  # twice the layer, about
            goal = np.clip(0.5 * fat - 2.2, -2.2, 2.4)
            path = path - np.clip(distance - goal, -4, 4)[:, None] * normal * 0.7
            if turn % 4 == 3:
                path[1:-1] = 0.5 * path[1:-1] + 0.25 * (path[:-2] + path[2:])
        return path
