"""Commands: the verbs of ``syntharena``, and what they show."""
