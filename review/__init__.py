"""Human review of old-versus-new LLM answers: blind labels, honest intervals, a verdict on parity."""

__version__ = "0.1.0"
