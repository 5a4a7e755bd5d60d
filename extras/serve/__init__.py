"""The model server: an application that predicts texts over HTTP.

A container needs this folder, a model's folder, the model's requirements and `prometheus_client`.
The modules import nothing else of the project, except for types.
"""
