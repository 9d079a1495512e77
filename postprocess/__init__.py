"""Network outputs → measured findings: pure array code over NumPy and SciPy.

Axes, spacing and affines are those of `preprocess`: (slices, rows, columns), mm in axis order,
LPS. Label maps are uint8, the index of a name in the recipe's ``labels``.
"""
