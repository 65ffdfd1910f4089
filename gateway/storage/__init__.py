"""What outlives a process: records in a database, and blobs in a folder or an object store."""
