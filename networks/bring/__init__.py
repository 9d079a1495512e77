"""Networks of others, checked and put into a model repository: ``onescan models import``."""
