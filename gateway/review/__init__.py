"""What readers may say of findings, and what follows from it: rules without a database."""
