"""Reports: what runs add up to, as statistics, tables, figures and a page."""
