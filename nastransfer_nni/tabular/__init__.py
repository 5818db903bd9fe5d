"""Tabular studies: strategies and proxies compared on a published table of measured networks."""
