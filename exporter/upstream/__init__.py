"""The client of Flashback's API: requests, retries, credentials, and the parsing of responses."""
