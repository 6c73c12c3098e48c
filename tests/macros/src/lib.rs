//! What the macros accept, and how they refuse: `pass/` and `fail/`, one file a rule.
