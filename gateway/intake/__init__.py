"""What comes in: DICOMweb, folders, archives; each instance read once."""
