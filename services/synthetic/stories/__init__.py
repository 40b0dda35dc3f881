"""Causes and what comes of them. A story takes the chronicle and the day of its climax (故事)."""
