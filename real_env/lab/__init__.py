"""The emulated laboratory: an xArm7, cameras and the objects of a task behind the wire of the real ones."""
