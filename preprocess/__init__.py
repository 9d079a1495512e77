"""Volume → tensors: pure array code over NumPy or CuPy.

Axes are (slices, rows, columns), written (S, R, C); slices run inferior → superior, rows
anterior → posterior, columns right → left. A batch of tiles is (N, channels, S, R, C).
``spacing_mm`` is in axis order. A 4×4 float64 affine maps (slice, row, column, 1) of voxel
*centres* to LPS millimetres. HU is int16 or float32.

Imports NumPy and SciPy only; CuPy only when handed one of its arrays.
"""
