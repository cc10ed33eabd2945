"""How does a network learn? The LightningModule, its hardware, pace and schedules."""
