"""Who uses the server in a load test: a PACS, a partner, a radiologist."""
