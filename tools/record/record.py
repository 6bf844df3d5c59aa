"""Records a model: `python -m residual_routes.recorder`, of the package in python/."""

from residual_routes.recorder.__main__ import main

main()
