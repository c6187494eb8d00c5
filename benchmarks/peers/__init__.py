r"""The systems that the SToFM paper compares with, each a compact model of its own after the published
description: small ones are trained from scratch, published weights are loaded by name."""
