"""Who runs where and when: plans, dealing, bounds, and the rules that a schedule keeps."""
