"""Kernels for any machine: SSE2 on x86-64, NEON on aarch64."""
