"""Where the cameras of a cell are: from pictures of a marker board and the robot's poses to the calibration file."""
