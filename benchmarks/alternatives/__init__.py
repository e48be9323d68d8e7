"""What people would write instead, as real servers: to be measured beside ours."""
