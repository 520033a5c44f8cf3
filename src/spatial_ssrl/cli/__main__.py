"""`python -m spatial_ssrl.cli`, for launchers that start modules."""

from spatial_ssrl.cli import main

main()
