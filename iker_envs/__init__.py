"""IKER environments: registered by `import iker_envs`, without loading torch or mujoco."""
