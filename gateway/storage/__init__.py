"""What outlives a process: records in a database, blobs in a store of objects."""
