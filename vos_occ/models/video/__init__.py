"""Video models: each is a detector, a temporal step and an embedding behind one `step` contract."""
