"""What `waldo compare` and `waldo leaderboard` share: who plays, what the episodes prove, who can be told apart."""
