"""The same world made of metal: xArm7 and RealSense cameras behind the environments' ids; `pip install 'iker[real]'`."""
