"""From indexed instances to one volume in HU: choose, place, decode, judge.

Arrays are (slices, rows, columns), written (S, R, C); slices run inferior → superior,
rows anterior → posterior, columns right → left. ``spacing_mm`` is in axis order.
Coordinates are LPS millimetres; a 4×4 affine maps (slice, row, column, 1) to them.
"""
