"""What processes agree on through Redis: locks, heartbeats, and whether a service is out of order."""
