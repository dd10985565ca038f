"""`python -m iker_agent` is the `iker` command."""

from iker_agent.cli import main

if __name__ == "__main__":
    main()
