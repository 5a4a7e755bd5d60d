"""The search of `make sweep`: Optuna proposes trials and keeps their state, Dask places them."""
