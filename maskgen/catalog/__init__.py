"""What a mask looks like from every side, and where it sits on a face; and changing a catalog safely."""
