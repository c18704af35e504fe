"""Public audio datasets: a catalog, resumable downloads with checksums, unpacking, and manifests with licenses."""
