"""Boards: from records to leaderboards, as a pure function, and their pages."""
