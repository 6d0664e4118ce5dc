"""What has been learned -> files that other tools open."""
