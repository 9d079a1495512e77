"""Synthetic CT patients with known truth: anatomy, Hounsfield units, scanner, DICOM.

Everything here is drawn from distributions written down in the code, none of it from a scan.
Figures measured on these phantoms are plumbing and regression figures, never clinical performance.
"""
