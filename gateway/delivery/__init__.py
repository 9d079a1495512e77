"""Results as DICOM objects: made when a screening has ended, kept in its study, and sent back."""
