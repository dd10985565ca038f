"""The paper's tables by one command each: what can be run where it stands, next to the paper's figures."""
