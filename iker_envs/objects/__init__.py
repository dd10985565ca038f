"""What things are and look like: shapes, meshes, the library of models."""
