"""N worlds of one stage: drawn, placed, stepped, observed and measured; no gymnasium, no learning."""
