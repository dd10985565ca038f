"""Isaac Gym Preview 4 behind `Sim`, in a process of its own: it needs Python 3.8, the rest of the project does not.

scenes -> urdf.py -> asset files -> worker.py (Python 3.8, isaacgym)  <- launch.py, wire.py ->  client.py -> Sim
"""
