"""Manifests applied to a real Kubernetes API server, and rolled out on pretended nodes."""
