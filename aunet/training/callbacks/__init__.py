"""What happens beside the steps of a training? Lightning's callbacks: tables, checkpoints, clock, display."""
