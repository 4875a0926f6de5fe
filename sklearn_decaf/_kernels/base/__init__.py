"""Kernels for any machine: on x86-64, SSE2."""
