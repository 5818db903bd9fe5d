"""What every room uses: options, commands, files, processes, provenance."""
