"""The files of a working copy: their paths, their forms, and params.yaml."""
