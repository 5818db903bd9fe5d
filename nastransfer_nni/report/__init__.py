"""Reports on studies: statistics, tables, figures and a page, made from results alone."""
