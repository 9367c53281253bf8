"""The revisions of the schema, oldest first by name. None is edited once it has been released."""
