"""Parts that the API and the console share."""
