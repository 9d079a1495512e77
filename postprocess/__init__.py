"""Network outputs → measured findings: pure array code over NumPy or CuPy.

Axes, spacing and affines are those of `preprocess`: (slices, rows, columns), mm in axis order,
LPS. Label maps are uint8, the index of a name in the recipe's ``labels``.

Volumes stay where they are, on the host or a device; tables and single lesions, which are small,
are measured on the host.
"""
