"""One device, many clients: leases, a server that any process on the link can reach, and its client."""
