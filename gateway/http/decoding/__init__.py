"""Read what comes over HTTP as files and arrays: in processes of their own, which import little."""
