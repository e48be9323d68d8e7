"""Services that attacks by queries ask: in process, and the real server."""
