// Between patient millimetres (LPS) and voxels (slice, row, column) of a canonical volume.

export const PLANES = { axial: 0, coronal: 1, sagittal: 2 };

export class Space {
  constructor(volume) {
    this.shape = volume.shape;
    this.affine = volume.affine;
    const m = volume.affine;
    this.spacing = [0, 1, 2].map((a) => Math.hypot(m[0][a], m[1][a], m[2][a]));
    this.inverse = inverted(m);
  }

  toVoxel([x, y, z]) {
    const at = [x, y, z].map((value, a) => value - this.affine[a][3]);
    return this.inverse.map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2]);
  }

  toMm(voxel) {
    return this.affine.slice(0, 3).map((row) => voxel.reduce((sum, v, a) => sum + row[a] * v, row[3]));
  }

  /** Give the box of voxels, lowest and highest corner, around a box of millimetres. */
  boxToVoxels([low, high]) {
    const corners = [];
    for (let n = 0; n < 8; n++) {
      corners.push(this.toVoxel([0, 1, 2].map((a) => ((n >> a) & 1 ? high : low)[a])));
    }
    return [0, 1, 2].map((a) => corners.map((c) => c[a]))
      .reduce(([lo, hi], of) => [[...lo, Math.min(...of)], [...hi, Math.max(...of)]], [[], []]);
  }

  /** Axes of a plane's picture: (across it, down, to the right); cuts of slices run head down. */
  axes(plane) {
    const across = PLANES[plane];
    const [down, right] = [0, 1, 2].filter((a) => a !== across);
    return { across, down, right, flipped: across !== 0 };
  }
}

function inverted(m) {
  const [a, b, c] = m[0], [d, e, f] = m[1], [g, h, i] = m[2];
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((value) => value / det));
}
