"""Everything that is said to Flashback's API, and what its answers mean."""
