"""Retraining: a collection of the service -> a bundle that is compared with the active one.

Clusters in which little has changed keep their subnet, so that few subnets are trained.
"""
