"""The harness: contracts, datasets, cells, stages, store, tracking, leaderboard, command line."""
