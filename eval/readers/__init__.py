"""Files to dataclasses, strictly: what does not fit raises a SchemaError that names file, record and cure."""
