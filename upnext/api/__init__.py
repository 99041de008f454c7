"""HTTP endpoints beside workers: routes, binding by signature, and the server they run on."""
