"""Pure values and rules of the field: records, rubric, identity, blinding, difference, chain."""
