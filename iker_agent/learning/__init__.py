"""From a scene and a goal to a policy: PPO, the waypoint rule, evaluation, policy files."""
