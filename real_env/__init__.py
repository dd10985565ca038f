"""The same world made of metal: xArm7 and RealSense cameras behind the ids of the environments; extra `real`."""
