"""Who writes the programs: the backends behind one Protocol (types.py), a budget and a recorder around any of them."""
