"""A double of isaacgym on MuJoCo, for tests: it proves protocol and index logic, not what PhysX does.

Written from the calls that users of the library make; put the folder above on PYTHONPATH. Where the library silently
does the wrong thing, the double raises.
"""
