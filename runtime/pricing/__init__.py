"""What a scheduled run does, counted and priced."""
